"""The figures of a run, drawn from what the run has."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from clearsight.config.schema import Config
from clearsight.data.audit import AuditReport
from clearsight.data.augment import augment
from clearsight.data.images import ImageSet
from clearsight.data.splits import PARTS, Split
from clearsight.figures.data import (
    augmentation_examples,
    class_distribution,
    duplicates,
    sample_images,
)
from clearsight.figures.evaluation import confusion_matrix, per_class, worst_mistakes
from clearsight.figures.probabilities import coverage_accuracy, reliability_diagram
from clearsight.figures.save import save
from clearsight.figures.training import training_curves
from clearsight.files import read_csv, read_json
from clearsight.notebook import Figures
from clearsight.runs import Run
from clearsight.runtime.seeds import generator

EXAMPLES, VARIANTS = 5, 7
SHOWN_DUPLICATES = 24


def draw_data(folder: Path, images: ImageSet, parts: Split | None) -> list[Path]:
    """`sample_images` and `class_distribution`, into `folder`; of all images without a split."""
    indices = {"all": np.arange(len(images))}
    if parts is not None:
        indices = {part: getattr(parts, part) for part in PARTS}
    first = next(iter(indices.values()))[:2000]
    counts = {
        part: np.bincount(images.labels[found], minlength=len(images.classes)).tolist()
        for part, found in indices.items()
        if len(found)
    }
    return _save(
        folder,
        sample_images=sample_images(images.images[first], images.labels[first], images.classes),
        class_distribution=class_distribution(counts, images.classes),
    )


def draw_augmentation(folder: Path, config: Config, images: ImageSet, parts: Split) -> Figures:
    """`augmentation_examples` of the recipe's own augmentation, into `folder`."""
    originals = torch.from_numpy(np.array(images.images[parts.train[:EXAMPLES]]))
    repeated = originals.repeat_interleave(VARIANTS, 0)
    augmented, _ = augment(
        repeated,
        torch.from_numpy(images.labels[parts.train[:EXAMPLES]]).repeat_interleave(VARIANTS),
        config=config.augment,
        epoch=0,
        indices=torch.arange(len(repeated)),
        generator=generator(config.training.seed, "augmentation examples"),
        classes=len(images.classes),
    )
    rows = augmented.view(len(originals), VARIANTS, *originals.shape[1:])
    drawn = _save(
        folder, augmentation_examples=augmentation_examples(originals.numpy(), rows.numpy())
    )
    return Figures(drawn)


def draw_audit(folder: Path, images: ImageSet, report: AuditReport) -> list[Path]:
    """`near_duplicates`: the most alike of those that stand in different parts, if there are."""
    across = [pair for pair in report.near if pair.parts[0] != pair.parts[1]]
    if not across:
        return []
    shown = across[:SHOWN_DUPLICATES]
    figure = duplicates(
        images.images[[pair.positions[0] for pair in shown]],
        images.images[[pair.positions[1] for pair in shown]],
        parts=[pair.parts for pair in shown],
        labels=[(images.classes[pair.labels[0]], images.classes[pair.labels[1]]) for pair in shown],
        similarity=[pair.similarity for pair in shown],
        total=len(across),
    )
    return _save(folder, near_duplicates=figure)


def draw_training(run: Run, config: Config) -> list[Path]:
    """`training_curves`; with several phases `phase1_training_curves` and so on."""
    history = read_csv(run.history)
    chance, target = 1 / len(read_json(run.split)["classes"]), config.evaluation.target
    if len(config.phases) == 1:
        phase = config.phases[0]
        curves = training_curves(
            history, chance=chance, target=target, title=f"Training of {config.model.name}",
            left_out=phase.selective_backprop,
            all_again=phase.selective_backprop_until < 1,
        )  # fmt: skip
        return _save(run.figures, training_curves=curves)
    figures = {}
    for number, phase in enumerate(config.phases, 1):
        rows = [row for row in history if row["phase"] == number]
        figures[f"phase{number}_training_curves"] = training_curves(
            rows, chance=chance, target=target, title=f"Phase {number}: {phase.name}",
            left_out=phase.selective_backprop,
            all_again=phase.selective_backprop_until < 1,
        )  # fmt: skip
    return _save(run.figures, **figures)


def draw_evaluation(
    run: Run,
    evaluation: dict[str, Any],
    pixels: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    files: np.ndarray | None = None,
) -> list[Path]:
    """Figures of the measured images.

    `confusion_matrix`, `per_class`, `worst_mistakes`, and where probabilities were judged
    `reliability` and `coverage_accuracy`.
    """
    classes = [row["name"] for row in evaluation["per_class"]]
    judged, drawn = evaluation.get("probabilities"), {}
    if judged is not None:
        drawn = {
            "reliability": reliability_diagram(judged),
            "coverage_accuracy": coverage_accuracy(judged),
        }
    return _save(
        run.figures,
        **drawn,
        confusion_matrix=confusion_matrix(labels, probabilities.argmax(1), classes),
        per_class=per_class(evaluation["per_class"]),
        worst_mistakes=worst_mistakes(pixels, labels, probabilities, classes, files=files),
    )


def _save(folder: Path, **figures: Figure) -> list[Path]:
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        save(figure, paths[-1])
    return paths

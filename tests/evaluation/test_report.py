"""The report of a run holds everything itself, whatever the run has so far."""

import base64
import io
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.config.recipes import to_toml
from clearsight.config.schema import Config, PhaseConfig
from clearsight.data.images import ImageSet
from clearsight.data.splits import Split
from clearsight.evaluation.metrics import evaluate_probabilities
from clearsight.evaluation.predictions import write_predictions
from clearsight.evaluation.probabilities import before_and_after, judge_probabilities
from clearsight.evaluation.report import write_report
from clearsight.figures.evaluation import per_class, worst_mistakes
from clearsight.figures.run import draw_data, draw_evaluation
from clearsight.figures.save import save
from clearsight.figures.style import new_figure, styled
from clearsight.files import read_json, write_csv, write_json
from clearsight.runs import Run, create_run

CLASSES = ("cat", "<b>dog</b>", 'bird" onload="x')
LABELS = np.repeat([0, 1, 2], 10)


def probabilities(mistakes: int) -> np.ndarray:
    """float [30, 3]: the first images of each class are taken for the next class."""
    predicted = LABELS.copy()
    predicted[:mistakes] = 1
    return np.eye(3)[predicted] * 0.7 + 0.1


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that has only been started."""
    environment = {
        "clearsight": "0.1.0", "memory_gib": 23.5, "git": {"commit": "abc123", "dirty": True},
        "device": "cpu", "nothing": None,
    }  # fmt: skip
    return create_run(tmp_path / "a run", Config(), environment)


def train(run: Run) -> None:
    rows = [
        {"phase": 1, "epoch": e, "step": 9 * e, "lr": 0.1, "train_loss": 1.0,
         "train_accuracy": 0.5, "val_loss": 1.0, "val_accuracy": a}
        for e, a in ((1, 0.5), (2, 0.8), (3, 0.7))
    ]  # fmt: skip
    write_csv(run.history, rows)
    part = {"how": "given", "ids": ["x"] * 30, "labels": [0] * 30}
    counts = dict.fromkeys(CLASSES, 10)
    write_json(
        run.split,
        {
            "source": "pets", "size": 32, "fit": "crop", "seed": 42, "classes": list(CLASSES),
            "counts": {"train": counts, "validation": counts, "test": counts | {"cat": 9}},
            "parts": {"train": part, "validation": part | {"ids": ["x"] * 10}, "test": part},
            "hash": "0123abcd",
        },
    )  # fmt: skip


def measure(run: Run, *, mistakes: int = 3, target: float | None = 0.65, tta: str = "flip") -> None:
    phase = {
        "name": "head", "epochs": 3, "best_epoch": 2, "stop_reason": "early stopping",
        "seconds": 3725.0, "trainable": 1234567, "frozen": 0, "val_accuracy": 0.8,
    }  # fmt: skip
    evaluation = evaluate_probabilities(
        probabilities(mistakes), LABELS, CLASSES, split="test", tta=tta, target=target,
        phases=[phase], without_tta=probabilities(6) if tta != "none" else None,
    )  # fmt: skip
    write_json(run.evaluation, evaluation)


def draw(run: Run, *names: str) -> None:
    images = np.zeros((30, 8, 8, 3), np.uint8)
    for name in names:
        save(worst_mistakes(images, LABELS, probabilities(3), "abc"), run.figures / f"{name}.png")


def text(run: Run) -> str:
    """The report's HTML, with plain blanks."""
    path = write_report(run)
    return path.read_text(encoding="utf-8").replace("\u00a0", " ").replace("&nbsp;", " ")


class Tags(HTMLParser):
    """Collects elements, and fails on wrong nesting."""

    VOID = ("meta", "link", "img", "source", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_numbers_of_a_measured_run(run: Run) -> None:
    train(run)
    measure(run)
    html = text(run)
    for part in (
        "90.00 %", "n = 30 images", "mean over each image and its mirror image",
        "The target of 65.00 % is reached by 25.00 percentage points; the whole interval",
        "80.00 %", "epoch 2",  # without augmentation; the best validation accuracy
        "early stopping", "1 h 02 min", "1,234,567",
        "split.json", "0123abcd", "pets: 3 classes", "9 to 10",
        "git commit", "abc123", "memory gib",
    ):  # fmt: skip
        assert part in html
    assert re.search(r">74\.38 %</span> to <span [^>]*>96\.54 %<", html)  # wilson(27, 30)
    assert "nothing" not in html


def test_probabilities_have_their_section_where_they_were_judged(run: Run) -> None:
    train(run)
    measure(run, tta="none")
    assert 'id="probabilities"' not in text(run)  # of an earlier version
    logits = np.log(probabilities(3)).astype(np.float32)
    sure = [{"accuracy": a, "probability": p, "coverage": 0.5} for a, p in ((0.9, 0.5), (0.99, 1))]
    calibration = {
        "temperature": 0.5, "n": 40, "sure": sure,
        "sets": [{"coverage": 0.9, "probability": 0.2}],
    }  # fmt: skip
    judged = judge_probabilities(logits, LABELS, calibration)
    evaluation = read_json(run.evaluation)
    for changed in (
        judged,
        judged | {"tta": {"views": "flip", **before_and_after(logits, LABELS, 0.7)}},
        judge_probabilities(logits, LABELS, None),
    ):
        write_json(run.evaluation, evaluation | {"probabilities": changed})
        html = text(run)
        Tags(html)
        assert '<a href="#probabilities">' in html
        assert ("Probabilities of one view: expected calibration" in html) == ("after" in changed)
        assert ("The probabilities are not calibrated" in html) == ("after" not in changed)
        assert ("<code>--sure 0.99</code>" in html) == bool(changed["sure"])
        assert ("flip</th><td>0.700" in html) == ("tta" in changed)


def test_every_table_and_figure_has_words_for_who_can_not_see_it(run: Run) -> None:
    train(run)
    measure(run)
    draw(run, "training_curves", "confusion_matrix")
    html = text(run)
    tags = Tags(html)
    assert tags.named("html")[0]["lang"] == "en"
    assert len(tags.named("caption")) == len(tags.named("table"))
    assert all(image["alt"] for image in tags.named("img"))
    targets = {attributes["id"] for _, attributes in tags.found if "id" in attributes}
    assert {str(a["href"]).lstrip("#") for a in tags.named("a")} <= targets


def test_names_no_outside_address(run: Run) -> None:
    train(run)
    measure(run)
    draw(run, "training_curves")
    html = text(run)
    assert "http://" not in html
    assert "https://" not in html
    assert "url(" not in html
    for _, attributes in Tags(html).found:
        for name in ("src", "href"):
            assert str(attributes.get(name, "#")).startswith(("data:", "#"))
    assert "default-src 'none'" in html


def test_embeds_every_figure_in_reading_order(run: Run) -> None:
    measure(run)
    names = (
        "phase1_training_curves", "phase2_training_curves", "phase10_training_curves", "per_class",
        "confusion_matrix", "heatmap_samples", "sample_images", "something_else",
    )  # fmt: skip
    draw(run, *reversed(names))
    images = Tags(text(run)).named("img")
    assert [str(image["alt"]).split(". ")[0] for image in images] == [
        "Training curves, phase 1", "Training curves, phase 2", "Training curves, phase 10",
        "Precision, recall and F1 per class, best F1 first", "Confusion matrix",
        "Where the model looks", "Sample images, one per class", "Something else",
    ]  # fmt: skip
    for image in images:
        data = base64.b64decode(str(image["src"]).removeprefix("data:image/png;base64,"))
        assert data == (run.figures / "sample_images.png").read_bytes()


def test_class_names_are_text(run: Run) -> None:
    train(run)
    measure(run)
    html = text(run)
    assert "<b>dog" not in html
    assert "&lt;b&gt;dog&lt;/b&gt;" in html
    assert not [a for _, a in Tags(html).found if "onload" in a]


def test_confusions_are_ranked_with_their_share(run: Run) -> None:
    measure(run)
    html = text(run)
    assert "All confusions, most frequent first" in html
    row = html[html.index("taken for") :]
    assert re.search(r"cat</th><td>&lt;b&gt;dog&lt;/b&gt;</td><td[^>]*>3</td><td[^>]*>30\.0 %", row)


def test_a_faultless_run_without_target_and_augmentation(run: Run) -> None:
    measure(run, mistakes=0, target=None, tta="none")
    html = text(run)
    assert "100.00 %" in html
    assert "no test-time augmentation" in html
    assert "No image was mistaken" in html
    assert "target of" not in html
    assert "Gap to the target" not in html


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (0.9, "reached exactly, but the interval extends below it"),
        (0.85, "reached by 5.00 percentage points, but the interval extends below it"),
        (0.95, "missed by 5.00 percentage points, but the interval extends above it"),
        (0.99, "missed by 9.00 percentage points; the whole interval lies below it"),
    ],
)
def test_the_verdict_minds_the_interval(run: Run, target: float, verdict: str) -> None:
    measure(run, target=target)
    assert f"is {verdict}." in text(run)


def test_a_run_just_started(run: Run) -> None:
    html = text(run)
    Tags(html)
    assert "has not been measured yet" in html
    assert "[training]" in html
    assert "Best validation accuracy" not in html


def test_a_run_trained_but_not_measured(run: Run) -> None:
    train(run)
    html = text(run)
    assert "3 epochs done" in html
    assert "Best validation accuracy so far: 80.00 % in epoch 2" in html
    assert "n = 10" in html


def test_how_to_reproduce_quotes_the_folder(run: Run) -> None:
    html = text(run)
    assert f"clearsight train &#39;{run.path}&#39;/recipe.toml --seed 0" in html


def test_same_run_same_report(run: Run) -> None:
    measure(run)
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


def test_a_dark_page_gets_dark_figures_with_their_pictures_as_they_are(run: Run) -> None:
    with styled():
        figure = new_figure(4, 2)
        axes = figure.add_subplot(1, 2, 1)
        axes.set_axis_off()
        axes.imshow(np.full((8, 8, 3), (250, 120, 10), np.uint8))
    save(figure, run.figures / "sample_images.png")
    save(per_class([{"name": "a", "precision": 1, "recall": 1, "f1": 1}]), run.figures / "x.png")
    tags = Tags(text(run))
    (source,) = tags.named("source")
    assert "prefers-color-scheme: dark" in str(source["media"])
    light, dark = (
        Image.open(io.BytesIO(base64.b64decode(str(data).partition(",")[2]))).convert("RGB")
        for data in (tags.named("img")[0]["src"], source["srcset"])
    )
    assert light.getpixel((2, 2)) == (255, 255, 255)
    assert np.asarray(dark)[2, 2].max() < 30
    middle = [k for k in range(light.width) if light.getpixel((k, 144)) == (250, 120, 10)]
    assert len(middle) > 100
    assert {dark.getpixel((k, 144)) for k in middle} == {(250, 120, 10)}
    # A chart has no pictures in it: the page inverts it by itself.
    assert [image.get("class") for image in tags.named("img")] == [None, "chart"]


def test_plans_of_a_budgeted_run_stand_on_one_line(run: Run) -> None:
    long = tuple((k, 1000 - k) for k in range(60))
    phases = (PhaseConfig(name="a", plan=((0, 6), (1, 4))), PhaseConfig(name="b", plan=long))
    run.recipe.write_text(to_toml(Config(phases=phases)), encoding="utf-8")
    html = text(run)
    assert "plan = [[0, 6], [1, 4]]\n" in html
    assert "plan = [[0, 1000], [1, 999], … 56 more …, [58, 942], [59, 941]]\n" in html


def test_the_worst_mistakes_are_listed_by_file(run: Run) -> None:
    train(run)
    measure(run, tta="none")
    ids = np.array([f"{k:064}" for k in range(30)])
    write_predictions(run.predictions, ids, LABELS, probabilities(3), CLASSES)
    assert "The worst mistakes by their files" not in text(run)
    files = [f"pets/cat/{k} & co.png" for k in range(30)]
    write_predictions(run.predictions, ids, LABELS, probabilities(3), CLASSES, files)
    html = text(run)
    for k in range(3):
        assert f"<code>pets/cat/{k} &amp; co.png</code>" in html
    assert "pets/cat/3 &amp;" not in html


def test_of_many_classes_the_page_shows_the_worst_and_the_best_and_stays_small(run: Run) -> None:
    """As a training on 1,000 classes of 4 images draws and reports it."""
    k = 1000
    rng = np.random.default_rng(0)
    labels = np.arange(4 * k) % k
    predicted = np.where(rng.random(4 * k) < 0.5, labels, rng.integers(0, k, 4 * k))
    shares = np.eye(k, dtype=np.float32)[predicted]
    names = [f"species {i:04}" for i in range(k)]
    evaluation = evaluate_probabilities(
        shares, labels, names, split="test", tta="none", target=None, phases=[]
    )
    write_json(run.evaluation, evaluation)
    pixels = rng.integers(0, 256, (4 * k, 32, 32, 3), dtype=np.uint8)
    images = ImageSet(
        images=pixels, labels=labels, classes=tuple(names), ids=labels.astype("S72"),
        parts=np.full(4 * k, ""), name="many",
    )  # fmt: skip
    indices = np.arange(4 * k)
    parts = Split(
        train=indices[: 2 * k], validation=indices[2 * k : 3 * k], test=indices[3 * k :], sources={}
    )
    started = time.process_time()
    draw_data(run.figures, images, parts)
    assert time.process_time() - started < 10
    draw_evaluation(run, evaluation, pixels, labels, shares)
    html = text(run)
    assert "the worst and the best 20 of 1,000 classes by F1" in html
    assert len(re.findall(r'<tr><th scope="row">species', html)) == 40 + 15  # and the confusions
    assert run.report.stat().st_size < 5_000_000
    assert run.evaluation.stat().st_size < 1_000_000


def test_the_test_of_heatmaps_and_the_dossier_are_shown_and_their_names_are_text(run: Run) -> None:
    train(run)
    measure(run)
    area = {"mean colour": 0.25, "blur": 0.375}
    row = {"insertion": area, "deletion": area}
    gain = {"value": 0.01, "low": -0.02, "high": 0.03}
    against = {curve: {"mean colour": gain, "blur": gain} for curve in ("insertion", "deletion")}
    write_json(run.faithfulness, {
        "split": "test", "n": 200, "steps": 8, "weights": "0" * 64, "method": "layer-cam",
        "rows": [
            {"name": "centred blob", **row},
            {"name": "layer-cam", **row, "against": {"centred blob": against}, "beats": False},
        ],
    })  # fmt: skip
    neighbour = {"id": "ab", "file": "<i>.png", "label": CLASSES[1], "similarity": 0.5}
    example = {
        "id": "cd", "file": "", "p_predicted": 0.75, "p_true": 0.25, "in_doubt": True,
        "neighbours": [{**neighbour, "in_doubt": False}, *[neighbour] * 4],
    }  # fmt: skip
    write_json(run.dossier, {
        "split": "test", "method": "layer-cam", "searched": 10, "training": 30,
        "pairs": [{"true": CLASSES[1], "predicted": "cat", "count": 2, "examples": [example]}],
    })  # fmt: skip
    Image.new("RGB", (8 * 16, 16), "teal").save(run.dossier_pictures)
    draw(run, "heatmap_samples")
    html = text(run)
    Tags(html)
    assert "so many images do not make it sure against a centred blob at insertion" in html
    assert "0.375" in html
    assert "&lt;b&gt;dog&lt;/b&gt; taken for cat, 2 times" in html
    assert "10 of 30 training images, drawn at random, were searched" in html
    assert html.count("data:image/jpeg;base64,") == 8
    assert html.count(", in doubt<") == 1
    assert 'title="&lt;i&gt;.png"' in html

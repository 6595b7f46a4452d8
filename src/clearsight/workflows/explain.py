"""`clearsight explain`: where a model looks, on its test images or on files."""

from collections.abc import Callable, Sequence
from pathlib import Path

from clearsight.bundle.format import MANIFEST, read_bundle
from clearsight.data.images import ImageSet
from clearsight.errors import UsageError
from clearsight.evaluation.predictions import read_predictions
from clearsight.explanation.explain import explain_images, explain_run
from clearsight.progress import SILENT, Progress
from clearsight.runs import Run, open_run
from clearsight.training.checkpoint import load_classifier, load_metadata
from clearsight.workflows.loading import LoadedRun, load_run

DEFAULT_OUT = Path("explanations")


def explain(
    target: Run | Path | str,
    files: Sequence[Path] = (),
    *,
    layer: str | None = None,
    out: Path | None = None,
    truncated: bool = False,
    data_dir: Path | str | None = None,
    images: ImageSet | None = None,
    on_error: Callable[[Path, str], None] | None = None,
    progress: Progress = SILENT,
) -> list[Path]:
    """Grad-CAM figures of a run's test part, or of image files by a run or a bundle.

    Without `files` a run's go into its figures; figures of files go into `out`, default
    `explanations`. `layer` is a module's name; default: the last with a map of at least 4 × 4.
    `images` are the run's, where they are loaded already. With `truncated`, damaged files are used
    as far as they can be decoded. A file that can't be used is a `DataError`; with `on_error`,
    called with it and the reason, it is left out.
    """
    if not isinstance(target, Run) and (Path(target) / MANIFEST).is_file():
        bundle = read_bundle(target)
        if not files:
            raise UsageError(f"explain {target}: a bundle holds no images; name some image files")
        return explain_images(
            bundle.classifier(), files, size=bundle.size, fit=bundle.fit,
            out=out or DEFAULT_OUT, layer=layer, truncated=truncated, on_error=on_error,
            progress=progress,
        )  # fmt: skip
    run = target if isinstance(target, Run) else open_run(target)
    if files:
        data = load_metadata(run.weights)["data"]
        return explain_images(
            load_classifier(run.weights), files, size=data["size"], fit=data["fit"],
            out=out or DEFAULT_OUT, layer=layer, truncated=truncated, on_error=on_error,
            progress=progress,
        )  # fmt: skip
    loaded = load_run(run, data_dir=data_dir, images=images, progress=progress)
    return explain_measured(loaded, layer=layer, out=out, progress=progress)


def explain_measured(
    loaded: LoadedRun,
    *,
    layer: str | None = None,
    out: Path | None = None,
    progress: Progress = SILENT,
) -> list[Path]:
    """Grad-CAM figures of the part a run was measured on, into `out` or the run's figures."""
    _, indices = loaded.measured()
    model = load_classifier(loaded.run.weights)
    return explain_run(
        model,
        loaded.images.images[indices],
        loaded.images.labels[indices],
        read_predictions(loaded.run.predictions).probabilities,
        model.classes,
        out or loaded.run.figures,
        layer=layer,
        progress=progress,
    )

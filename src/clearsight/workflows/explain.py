"""`clearsight explain`: where a model looks, on its test images or on files."""

from collections.abc import Callable, Sequence
from pathlib import Path

from clearsight.bundle.format import MANIFEST, Bundle, read_bundle
from clearsight.errors import UsageError
from clearsight.explanation.explain import explain_images
from clearsight.explanation.methods import DEFAULT, check_method
from clearsight.notebook import Figures, shown
from clearsight.progress import Progress
from clearsight.runs import Run, at_work, open_run
from clearsight.training.checkpoint import load_classifier, load_metadata
from clearsight.workflows.dossier import write_dossier
from clearsight.workflows.loading import Data, load_run
from clearsight.workflows.results import explain_measured, make_missing, report

DEFAULT_OUT = Path("explanations")


def explain(
    target: Run | Bundle | Path | str,
    files: Sequence[Path | str] = (),
    *,
    method: str = DEFAULT,
    layer: str | None = None,
    out: Path | str | None = None,
    truncated: bool = False,
    data: Data | None = None,
    data_dir: Path | str | None = None,
    on_error: Callable[[Path, str], None] | None = None,
    progress: Progress | None = None,
) -> Figures:
    """Heatmaps of a run's test part, or of image files by a run or a bundle, as figures.

    Without `files` a run's go into its figures, with their test in `faithfulness.json` and the
    dossier of its confusions in `dossier.json`, and whatever else a killed process left out of the
    run is made; figures of files go into `out`, default `explanations`. `method` is a name of
    `METHODS`. `layer` is a module's name, for methods that look at one; default: the last with a
    map of at least 4 × 4. `data` says where the run's images lie, if not where they were, or is
    the run's `ImageSet`. With `truncated`, damaged files are used as far as they can be decoded. A
    file that can't be used is a `DataError`; with `on_error`, called with it and the reason, it is
    left out. Returns the paths of the files written, whose pictures a notebook shows.
    """
    progress = shown(progress)
    check_method(method, layer)
    out, files = None if out is None else Path(out), [Path(file) for file in files]
    if not isinstance(target, Run) and (Path(target) / MANIFEST).is_file():
        bundle = read_bundle(target)
        if not files:
            raise UsageError(f"explain {target}: a bundle holds no images; name some image files")
        return Figures(explain_images(
            bundle.classifier(), files, size=bundle.size, fit=bundle.fit,
            out=out or DEFAULT_OUT, method=method, layer=layer, truncated=truncated,
            on_error=on_error, progress=progress,
        ))  # fmt: skip
    run = target if isinstance(target, Run) else open_run(target)
    if files:
        metadata = load_metadata(run.weights)["data"]
        return Figures(explain_images(
            load_classifier(run.weights), files, size=metadata["size"], fit=metadata["fit"],
            out=out or DEFAULT_OUT, method=method, layer=layer, truncated=truncated,
            on_error=on_error, progress=progress,
        ))  # fmt: skip
    loaded = load_run(run, data=data, data_dir=data_dir, progress=progress)
    dossier: list[Path] = []  # its pictures are made for the report
    with at_work(run):
        make_missing(loaded, progress)
        figures = explain_measured(loaded, method=method, layer=layer, out=out, progress=progress)
        if out is None:
            dossier = write_dossier(loaded, method=method, layer=layer, progress=progress)
            report(run)
    return Figures([*figures, *dossier], Figures(figures).pictures)

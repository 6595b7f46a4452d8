"""The demo: every station of the way once, ending with a working model whatever is at hand."""

import time
from pathlib import Path

from clearsight.config.recipes import load_recipe
from clearsight.config.schema import Config
from clearsight.data.audit import audit
from clearsight.data.images import ImageSet
from clearsight.data.splits import split
from clearsight.errors import DataNotFoundError
from clearsight.evaluation.report import write_report
from clearsight.figures.run import draw_audit
from clearsight.progress import SILENT, Progress
from clearsight.runs import Run
from clearsight.workflows.export import export
from clearsight.workflows.loading import load_data
from clearsight.workflows.train import train


def demo(
    *,
    budget: float | None = None,
    data_dir: Path | str | None = None,
    out: Path | str | None = None,
    progress: Progress = SILENT,
) -> Run:
    """audit → split → train → evaluate → explain → export → report.

    CIFAR-10 by the recipe `demo` in `budget` seconds of training (default: the recipe's); without
    CIFAR-10, the digits bundled with scikit-learn by their own recipe, which needs no budget.
    """
    started = time.perf_counter()
    config, images = _data(budget, data_dir, progress)
    parts = split(images, config.data, progress)
    report = audit(images, parts, progress=progress)
    for line in report.lines():
        if line not in (*images.notes, *parts.notes):  # training says those
            progress.say(f"audit   {line}")
    run = train(config, data=images, out=out, progress=progress)
    draw_audit(run.figures, images, report)
    bundle = export(run, data=images, progress=progress)
    progress.say(f"export  {bundle.path}: ONNX Runtime gives the same labels")
    progress.say(f"report  {write_report(run)}")
    progress.say(f"done in {time.perf_counter() - started:.0f} s")
    return run


def _data(
    budget: float | None, data_dir: Path | str | None, progress: Progress
) -> tuple[Config, ImageSet]:
    config = load_recipe("demo", {} if budget is None else {"training.budget": budget})
    try:
        return config, load_data(config, data_dir, progress)
    except DataNotFoundError as error:
        reason = error.__cause__ or error
        progress.say(f"CIFAR-10 is not on this machine, and {reason}.")
        progress.say("This demo runs on the handwritten digits of scikit-learn (8 × 8) instead.")
        config = load_recipe("digits")
        return config, load_data(config, data_dir, progress)

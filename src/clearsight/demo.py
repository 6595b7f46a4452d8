"""The demo: every station of the way once, ending with a working model whatever is at hand."""

import time
from pathlib import Path

from clearsight import pipeline
from clearsight.config import Config, load_recipe
from clearsight.data.audit import audit
from clearsight.data.images import ImageSet
from clearsight.data.splits import split
from clearsight.errors import DataNotFoundError
from clearsight.evaluation.report import write_report
from clearsight.pictures import draw_audit
from clearsight.progress import Progress, Silent
from clearsight.runs import Run


def demo(
    *,
    budget: float | None = None,
    data_dir: Path | str | None = None,
    out: Path | None = None,
    screen: Progress | None = None,
) -> Run:
    """audit → split → train → evaluate → explain → export → report.

    CIFAR-10 by the recipe `demo` in `budget` seconds of training (default: the recipe's); without
    CIFAR-10, the digits bundled with scikit-learn by their own recipe, which needs no budget.
    """
    screen = screen or Silent()
    started = time.perf_counter()
    config, images = _data(budget, data_dir, screen)
    report = audit(images, split(images, config.data))
    for line in report.lines():
        if line not in images.notes:  # training says those
            screen.say(f"audit   {line}")
    run = pipeline.train(config, out=out, images=images, screen=screen)
    draw_audit(run.figures, images, report)
    bundle = pipeline.export(run, images=images, screen=screen)
    screen.say(f"export  {bundle}: ONNX Runtime gives the same labels")
    screen.say(f"report  {write_report(run)}")
    screen.say(f"done in {time.perf_counter() - started:.0f} s")
    return run


def _data(
    budget: float | None, data_dir: Path | str | None, screen: Progress
) -> tuple[Config, ImageSet]:
    config = load_recipe("demo", {} if budget is None else {"training.budget": budget})
    try:
        return config, pipeline.load_data(config, data_dir, screen)
    except DataNotFoundError as error:
        reason = error.__cause__ or error
        screen.say(f"CIFAR-10 is not on this machine, and {reason}.")
        screen.say("This demo runs on the handwritten digits of scikit-learn (8 × 8) instead.")
        config = load_recipe("digits")
        return config, pipeline.load_data(config, data_dir, screen)

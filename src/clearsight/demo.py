"""The demo: every station of the way once, ending with a working model whatever is at hand."""

import time
from dataclasses import replace
from pathlib import Path

from clearsight import pipeline
from clearsight.config import Config, load_recipe
from clearsight.data.audit import audit
from clearsight.data.images import ImageSet
from clearsight.data.splits import split
from clearsight.errors import DataNotFoundError
from clearsight.pictures import draw_audit, draw_data
from clearsight.progress import Progress, Silent
from clearsight.runs import Run, new_run_path
from clearsight.training.train import train_model

TARGET = 0.9  # of a few minutes; the recipe's own is that of its full length


def demo(
    *,
    budget: float = 240.0,
    data_dir: Path | str | None = None,
    out: Path | None = None,
    screen: Progress | None = None,
) -> Run:
    """audit → split → train → evaluate → explain → export → report.

    CIFAR-10 by `airnet94` in `budget` seconds of training; without CIFAR-10, the digits bundled
    with scikit-learn by their own recipe, which needs no budget.
    """
    screen = screen or Silent()
    started = time.perf_counter()
    recipe = load_recipe("airnet94")
    config = replace(
        recipe,
        name="demo",
        training=replace(recipe.training, budget=budget),
        evaluation=replace(recipe.evaluation, target=TARGET),
    )
    config, images = _data(config, data_dir, screen)
    path = out or new_run_path(config)

    parts = split(images, config.data)
    report = audit(images, parts)
    for line in report.lines():
        screen.say(f"audit     {line}")
    screen.say(f"split     {pipeline.describe(images, parts)}")
    run = pipeline.start_run(path, config, images, parts)
    draw_data(run.figures, config, images, parts)
    draw_audit(run.figures, images, report)
    limit = config.training.budget
    screen.say(f"train     {config.model.name}" + (f", {limit:.0f} s" if limit else ""))
    train_model(run, config, images, parts, progress=screen)
    evaluation = pipeline.evaluate(run, images=images, screen=screen)
    accuracy = evaluation["accuracy"]
    screen.say(
        f"evaluate  {evaluation['split']} accuracy {accuracy['value']:.2%}, n = {evaluation['n']:,}"
    )
    pipeline.explain(run, images=images)
    screen.say(f"explain   {run.figures / 'gradcam_samples.png'}")
    bundle = pipeline.export(run, images=images, screen=screen)
    screen.say(f"export    {bundle}, the same labels by ONNX Runtime")
    pipeline.write_report(run)
    screen.say(f"report    {run.report}")
    screen.say(f"done in {time.perf_counter() - started:.0f} s")
    return run


def _data(config: Config, data_dir: Path | str | None, screen: Progress) -> tuple[Config, ImageSet]:
    try:
        return config, pipeline.load_data(config, data_dir, screen)
    except DataNotFoundError as error:
        screen.say(f"no CIFAR-10: {error}")
        screen.say("so this demo runs on the digits bundled with scikit-learn (8 × 8 scans)")
        digits = replace(load_recipe("digits"), name="demo-digits")
        return digits, pipeline.load_data(digits, data_dir, screen)

"""The commands: each takes its words, calls the library, and prints what came back."""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from cyclopts import App, Parameter

from clearsight.cli import (
    comparison,
    doubt,
    embedding,
    evaluation,
    exporting,
    hub,
    output,
    predictions,
    registry,
    serving,
)
from clearsight.cli.inputs import image_names
from clearsight.cli.options import (
    BundleFolder,
    Coverage,
    DataDir,
    EngineName,
    Familiar,
    Json,
    MovedData,
    Strict,
    Sure,
    Truncated,
)
from clearsight.cli.terminal import TerminalProgress
from clearsight.errors import RunError, UsageError


def _version() -> str:
    import clearsight

    return clearsight.__version__


app = App(
    name="clearsight",
    help="Train, judge, explain and ship classifiers of small images.",
    help_format="plaintext",
    help_epilogue="With any command, --debug shows the traceback of an error.",
    version=_version,
    default_parameter=Parameter(negative=()),
)
app.command(registry.app)
app.command(doubt.doubt)
app.command(exporting.export)
app.command(hub.push)
app.command(hub.pull)
app.command(serving.serve)


@app.command
def demo(
    *,
    budget: Annotated[
        str | None, Parameter(help="time for training, such as 90s; default: 4 minutes")
    ] = None,
    data_dir: DataDir = None,
    out: Annotated[Path | None, Parameter(help="run folder; default: a new one in runs")] = None,
) -> None:
    """Audit, train, evaluate, explain and export a first model in one command."""
    from clearsight.config.parsing import parse_duration
    from clearsight.workflows.demo import demo

    seconds = None if budget is None else parse_duration(budget, "--budget")
    output.show_demo(demo(budget=seconds, data_dir=data_dir, out=out, progress=TerminalProgress()))


@app.command
def train(
    recipe: Annotated[
        str | None, Parameter(help="a name from `clearsight recipes`, or a .toml file")
    ] = None,
    /,
    *,
    data: Annotated[
        str | None,
        Parameter(help="data set: a name (cifar10, cifar100, digits), a path, or hf://OWNER/NAME"),
    ] = None,
    data_dir: DataDir = None,
    truncated: Truncated = False,
    budget: Annotated[
        str | None, Parameter(help="time for training, such as 90s, 5m or 1h")
    ] = None,
    seed: Annotated[
        int | None, Parameter(help="seed for weights, data order and augmentation")
    ] = None,
    seeds: Annotated[int, Parameter(help="number of runs to train, with consecutive seeds")] = 1,
    folds: Annotated[
        int | None,
        Parameter(help="cross-validate: so many runs, each measured on another fold of all images"),
    ] = None,
    out: Annotated[
        Path | None, Parameter(help="run folder; default: runs/<date>-<recipe>-s<seed>")
    ] = None,
    tracking: Annotated[
        Literal["mlflow", "wandb", "tensorboard", "none"] | None,
        Parameter(help="where to log metrics besides the run folder; default: mlflow"),
    ] = None,
    resume: Annotated[
        Path | None, Parameter(help="a run folder to finish: what is missing of it is made")
    ] = None,
    force: Annotated[
        bool,
        Parameter(help="train even if the pre-flight check finds errors", show_default=False),
    ] = False,
    relabelled: Annotated[
        Path | None, Parameter(help="CSV file of corrected labels, as `clearsight doubt` gives it")
    ] = None,
    as_json: Json = False,
    overrides: Annotated[Mapping[str, str], Parameter(parse=False)] = MappingProxyType({}),
) -> None:
    """Train from a recipe, then evaluate on the test set, explain and report.

    Every field of the recipe is also a flag; they are listed at the end.
    """
    from clearsight.config.recipes import load_recipe

    named = {
        "data": data,
        "data.truncated": truncated or None,
        "data.relabelled": None if relabelled is None else str(relabelled),
        "training.seed": seed,
        "training.budget": budget,
        "tracking.tracker": tracking,
    }
    changes = {name: value for name, value in named.items() if value is not None} | {**overrides}
    if seeds < 1:
        raise UsageError(f"--seeds: found {seeds}, expected 1 or more")
    if resume is not None:
        if recipe or changes.keys() - {"data"} or seeds > 1 or folds or out:
            raise UsageError(
                "--resume: found other settings beside it; a run is resumed with its own recipe, "
                f"so give only --resume {resume}, and --data where its data were moved"
            )
        from clearsight.workflows.train import resume as resume_run

        run = resume_run(resume, data=data, data_dir=data_dir, progress=TerminalProgress())
        output.show_trained([run], as_json=as_json)
        return
    if recipe is None:
        raise UsageError("train: found no recipe; name one from `clearsight recipes` or a file")
    progress = TerminalProgress()
    config = load_recipe(recipe, changes, progress)

    # Heavy, so only once the words are known to be right.
    if folds is not None:
        if seeds > 1:
            raise UsageError("--folds: found --seeds beside it; give one of them")
        from clearsight.cli.folds import cross_validate

        cross_validate(config, folds, out, data_dir, force=force, as_json=as_json)
        return
    from clearsight.tracking.numbers import seeds_of
    from clearsight.workflows.train import train

    finished, group = [], seeds_of(config, seeds)
    for number in range(config.training.seed, config.training.seed + seeds):
        training = dataclasses.replace(config.training, seed=number)
        run = train(
            dataclasses.replace(config, training=training),
            out=out / f"s{number}" if out and seeds > 1 else out,
            data_dir=data_dir,
            seeds=group,
            force=force,
            progress=progress,
        )
        finished.append(run)
    output.show_trained(finished, as_json=as_json)


app.command(evaluation.evaluate)


@app.command
def explain(
    target: Annotated[Path, Parameter(help="a run folder, a bundle, or NAME@ALIAS")],
    images: Annotated[
        tuple[str, ...],
        Parameter(
            help="image files, folders of them, or - for names from stdin; default: from the run's "
            "test set",
            allow_leading_hyphen=True,
        ),
    ] = (),
    /,
    *,
    method: Annotated[
        str,
        Parameter(
            help="focused-gradients, grad-cam, hires-cam, layer-cam, fused-layer-cam, score-cam, "
            "integrated-gradients, occlusion or rise"
        ),
    ] = "focused-gradients",
    layer: Annotated[
        str | None,
        Parameter(help="layer to look at, for the methods named cam; default: chosen for you"),
    ] = None,
    truncated: Truncated = False,
    data: MovedData = None,
    data_dir: DataDir = None,
    out: Annotated[Path | None, Parameter(help="folder for the figures")] = None,
    strict: Strict = False,
    as_json: Json = False,
) -> int:
    """Show where the model looks, as heatmaps that are tested; prints the paths written.

    Of a run, the dossier of its most frequent confusions is made as well.
    Files that can't be used are named on stderr, and the exit code is 1 at the end.
    """
    from clearsight.workflows.explain import explain

    files = [Path(name) for name in image_names(images, sys.stdin, sys.stderr)]
    errors: dict[Path, str] = {}
    figures = explain(
        registry.bundle_folder(target), files, method=method, layer=layer, out=out,
        truncated=truncated, data=data, data_dir=data_dir,
        on_error=None if strict else errors.__setitem__, progress=TerminalProgress(),
    )  # fmt: skip
    return output.show_explained(figures, errors, as_json=as_json)


@app.command
def predict(
    bundle: BundleFolder,
    images: Annotated[
        tuple[str, ...],
        Parameter(
            help="image files, folders of them, or - for names from stdin, one a line",
            allow_leading_hyphen=True,
        ),
    ],
    /,
    *,
    as_json: Annotated[bool, Parameter("--json", help="print JSON Lines, one per image")] = False,
    as_csv: Annotated[bool, Parameter("--csv", help="print comma-separated values")] = False,
    engine: EngineName = "auto",
    sure: Sure = None,
    coverage: Coverage = None,
    familiar: Familiar = False,
    strict: Strict = False,
    truncated: Truncated = False,
) -> int:
    """Classify images: the most probable class and its probability.

    A file that can't be used gets a line with its error, and the exit code is 1 at the end.
    """
    if as_json and as_csv:
        raise UsageError("predict: found both --json and --csv; choose one")
    from clearsight.bundle.predict import load

    form = "json" if as_json else "csv" if as_csv else "text"
    predictor = load(registry.bundle_folder(bundle), engine=engine, truncated=truncated)
    names = image_names(images, sys.stdin, sys.stderr)
    answers = predictor.stream(
        names, sure=sure, coverage=coverage, familiar=familiar,
        errors="raise" if strict else "yield",
    )  # fmt: skip
    for line in predictions.promise_lines(predictor.bundle, sure, coverage, familiar):
        sys.stderr.write(line + "\n")
    failures = predictions.show_predictions(
        answers, form, predictor.bundle.classes,
        sure=sure is not None, sets=coverage is not None, familiar=familiar,
        unlike=predictor.bundle.features is not None,
    )  # fmt: skip
    return output.say_unusable(failures)


app.command(embedding.embed)
app.command(embedding.similar)
app.command(evaluation.audit)


@app.command
def profile(
    data: Annotated[str, Parameter(help="data set: a name or a path")],
    /,
    *,
    model: Annotated[str, Parameter(help="a network of this package or of timm")],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Measure the speed and memory of a network at each input size, without training."""
    from clearsight.workflows.profile import profile

    costs = profile(data, model, data_dir=data_dir, progress=TerminalProgress())
    output.show_profile(costs, as_json=as_json)


@app.command
def runs(
    folder: Annotated[Path, Parameter(help="where the run folders are")] = Path("runs"),
    /,
    *,
    as_json: Json = False,
) -> None:
    """List runs and their results."""
    from clearsight.ledger import list_runs

    if folder != Path("runs") and not folder.is_dir():
        raise RunError(f"{folder}: no such folder; name the folder that the run folders are in")
    output.show_runs(list_runs(folder), folder, as_json=as_json)


app.command(comparison.compare)
app.command(comparison.reproduce)


@app.command
def ui(
    folder: Annotated[Path, Parameter(help="where the run folders are")] = Path("runs"),
    /,
    *,
    port: Annotated[int, Parameter(help="local port")] = 5000,
) -> None:
    """Open the MLflow web UI for the tracked runs; stop it with Ctrl-C."""
    from clearsight.tracking.ui import serve_ui

    serve_ui(folder, port, TerminalProgress())


@app.command
def recipes(
    name: Annotated[str | None, Parameter(help="show the file of this recipe")] = None,
    /,
    *,
    models: Annotated[bool, Parameter(help="list the networks instead")] = False,
    as_json: Json = False,
) -> None:
    """List the shipped recipes, or show one."""
    from clearsight.config.recipes import load_recipe, recipe_names

    if models:
        from clearsight.models.factory import model_names

        output.show_names("models", model_names(), as_json=as_json)
    elif name is None:
        about = {each: _recipe_text(each).splitlines()[0].lstrip("# ") for each in recipe_names()}
        output.show_recipes(about, as_json=as_json)
    else:
        output.show_recipe(load_recipe(name), _recipe_text(name), as_json=as_json)


@app.command
def record(
    runs: Annotated[tuple[Path, ...], Parameter(help="run folders that differ in their seed")],
    /,
    *,
    name: Annotated[str, Parameter(help="name of the result: results/NAME.json")],
    folder: Annotated[Path, Parameter(help="folder of the ledger")] = Path("results"),
    as_json: Json = False,
) -> None:
    """Record finished runs in the ledger, the source of the numbers in the documents."""
    from clearsight import ledger
    from clearsight.runs import open_run

    path = ledger.record([open_run(run) for run in runs], name, folder)
    output.show_path("result", path, as_json=as_json)


def _recipe_text(name: str) -> str:
    from clearsight.config.recipes import RECIPES

    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    return path.read_text(encoding="utf-8")

"""The runs of docs/why-49-percent.md: the course's recipe with its mistake and without.

    python benchmarks/lesson.py --out runs/lesson

Eight runs of the shipped recipes `course-notebook…` on EfficientNet-Lite0 (from the extra
`offline`): at 32 and 224 px, pixels scaled twice and once, the head alone (the recipe's first
phase) and both phases. Frozen stages see two augmented views of every image, computed once. The
runs lie below `--out`; finished ones are kept, and all are recorded as results/lesson-….json.
"""

import argparse
import dataclasses
from itertools import product
from pathlib import Path

from clearsight.config.recipes import load_recipe
from clearsight.config.schema import Config
from clearsight.ledger import RESULTS, record
from clearsight.runs import Run
from clearsight.workflows.train import train


def lesson(size: int, phases: int, *, mistake: bool, model: str, weights: str | None) -> Config:
    """A shipped recipe of the course with another backbone, and the first `phases` of its two."""
    recipe = f"course-notebook{'' if size == 224 else '-32'}{'-mistake' if mistake else ''}"
    changes = {"model.name": model, "cache.views": "2"}
    changes |= {"model.weights": weights} if weights else {}
    config = load_recipe(recipe, changes)
    return dataclasses.replace(config, phases=config.phases[:phases])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--weights", help="as model.weights of a recipe")
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("runs/lesson"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    for size, phases, mistake in product((32, 224), (1, 2), (False, True)):
        ends = f"{'head' if phases == 1 else 'both'}{'-mistake' if mistake else ''}"
        name = f"lesson-{given.model.partition('.')[0]}-{size}-{ends}"
        run = Run(given.out / name)
        if not run.evaluation.is_file():
            config = lesson(size, phases, mistake=mistake, model=given.model, weights=given.weights)
            run = train(config, out=run.path, data_dir=given.data_dir, force=mistake)
        print(record([run], name, given.results))


if __name__ == "__main__":
    main()

"""Accuracy against time: a recipe trained with budgets, each recorded as `budget-RECIPE-TIME`.

    python benchmarks/budget_curve.py airnet94 --budgets 1m 2m 4m 10m --seeds 3

Each run is `clearsight train RECIPE --budget TIME` in a process of its own, without a tracker. The
budgets take turns, seed by seed, for machines are shared and noisy. The runs lie below `--out`;
finished ones are kept, so the command can be given again, with more budgets or seeds.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from clearsight.config.parsing import parse_duration
from clearsight.config.recipes import load_recipe
from clearsight.ledger import RESULTS, record
from clearsight.runs import Run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", nargs="?", default="airnet94")
    parser.add_argument("--budgets", nargs="+", default=["1m", "2m", "4m", "10m"])
    parser.add_argument("--seeds", type=int, default=1, help="runs per budget, seeds from 0 on")
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("runs/budget"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    recipe = load_recipe(given.recipe).name
    for budget in given.budgets:
        parse_duration(budget, "--budgets")  # a wrong one must not stop the last run only
    runs: dict[str, list[Run]] = {f"budget-{recipe}-{budget}": [] for budget in given.budgets}
    for seed in range(given.seeds):
        for budget, (name, done) in zip(given.budgets, runs.items(), strict=True):
            run = Run(given.out / name / f"s{seed}")
            if not run.evaluation.is_file():
                command = [
                    sys.executable, "-m", "clearsight", "train", given.recipe, "--budget", budget,
                    "--seed", str(seed), "--tracking", "none", "--out", str(run.path),
                ]  # fmt: skip
                command += ["--data-dir", given.data_dir] if given.data_dir else []
                code = subprocess.run(command, check=False).returncode
                if code:
                    raise SystemExit(code)
            # After every run, so that what is there is in the ledger whenever this is stopped.
            done.append(run)
            print(record(done, name, given.results))


if __name__ == "__main__":
    main()

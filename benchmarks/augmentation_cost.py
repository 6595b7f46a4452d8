"""What each option of `[augment]` adds to a training step, in processor time.

    python benchmarks/augmentation_cost.py airnet94

A batch of the recipe on random images of its size: a whole step (forwards, backwards, update) and
the augmentation with each option added on all of the batch, taking turns; the least processor time
of the rounds, which other work on the machine disturbs least. Part of the images cost that part.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.step_profile import CLASSES, CPU, noise
from clearsight.config.recipes import load_recipe
from clearsight.data.augment import augment
from clearsight.data.splits import split
from clearsight.ledger import record_benchmark
from clearsight.runtime.device import autocast, pick_precision, tune_allocator
from clearsight.runtime.environment import environment
from clearsight.training.optimizers import build_optimizers
from clearsight.training.train import new_classifier

OPTIONS = ("trivial", "augmix", "blur", "noise", "jpeg")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("results/augmentation-cost.json"))
    given = parser.parse_args()
    tune_allocator()
    config = load_recipe(given.recipe)
    batch, precision = config.training.batch, pick_precision(config.training.precision, CPU)
    images = noise(4 * batch, 32)
    model = new_classifier(config, images, split(images, config.data)).train()
    model = model.to(memory_format=torch.channels_last)
    optimizers = build_optimizers(model, config.phases[0])
    pixels = torch.from_numpy(images.images[:batch])
    labels = torch.from_numpy(images.labels[:batch])
    draw = torch.Generator().manual_seed(0)

    def step() -> None:
        with autocast(CPU, precision):
            loss = F.cross_entropy(model(pixels).float(), labels)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def augmented(**options: float) -> Callable[[], object]:
        changed = replace(config.augment, **options)
        return lambda: augment(
            pixels, labels, config=changed, epoch=0, indices=torch.arange(batch), generator=draw,
            classes=CLASSES,
        )  # fmt: skip

    work = {"step": step, "recipe": augmented()}
    work |= {name: augmented(**{name: 1.0}) for name in OPTIONS}
    least = dict.fromkeys(work, float("inf"))
    for _ in range(given.rounds):
        for name, run in work.items():
            started = time.process_time()
            run()
            least[name] = min(least[name], time.process_time() - started)
    whole = least["step"] + least["recipe"]
    added = {name: least[name] - least["recipe"] for name in OPTIONS}
    rows = [
        [f"`{name}`", f"{1e6 * seconds / batch:.0f} µs", f"{seconds / whole:.1%}"]
        for name, seconds in added.items()
    ]
    head = ["option, on all images", "processor time per image", "of a training step"]
    for line in (head, *rows):
        print("".join(f"{cell:<30}" for cell in line))
    record_benchmark(
        given.out, environment(CPU, precision), recipe=given.recipe, rounds=given.rounds,
        batch=batch, seconds=least, table={"head": head, "rows": rows},
    )  # fmt: skip


if __name__ == "__main__":
    main()

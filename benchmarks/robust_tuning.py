"""What a recipe's augmentation was chosen by: validation images, under other corruptions.

    python benchmarks/robust_tuning.py runs/PLAIN runs/CANDIDATE … --note "what was tried"

None of these is among the corruptions that `clearsight evaluate --corruptions` reports: three of
the four that Hendrycks and Dietterich (2019) set aside for this purpose (speckle noise, Gaussian
blur, saturation; at five severities, with their strengths for CIFAR-10), JPEG at qualities between
those reported, and WebP. One view of each of `--n` validation images, equally many of each class.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy.ndimage import gaussian_filter

from clearsight.config.tables import flatten
from clearsight.data.splits import split
from clearsight.evaluation.corruptions import balanced_sample
from clearsight.evaluation.metrics import predict_probabilities
from clearsight.evaluation.weather_and_digital import as_jpeg, to_uint8
from clearsight.ledger import record_benchmark
from clearsight.progress import Silent
from clearsight.runs import open_run
from clearsight.runtime.environment import environment
from clearsight.training.checkpoint import load_classifier
from clearsight.workflows.loading import load_data

SPECKLE = (0.06, 0.1, 0.12, 0.16, 0.2)
BLUR = (0.4, 0.6, 0.7, 0.8, 1)
SATURATE = ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))
JPEG, WEBP = (60, 35, 15), (60, 20)


def views(images: np.ndarray) -> dict[str, list[np.ndarray]]:
    """By corruption, the images uint8 [N, H, W, 3] at each of its strengths."""
    x = images.astype(np.float32) / 255
    normal = np.random.default_rng(0).standard_normal(x.shape)
    hsv = rgb_to_hsv(x)

    def saturated(factor: float, more: float) -> np.ndarray:
        saturation = (hsv[..., 1] * factor + more).clip(0, 1)
        return hsv_to_rgb(np.stack([hsv[..., 0], saturation, hsv[..., 2]], -1))

    def as_webp(pixels: np.ndarray, quality: int) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "WEBP", quality=quality)
        return np.asarray(Image.open(file).convert("RGB"))

    return {
        "clean": [images],
        "speckle noise": [to_uint8(x + x * sigma * normal) for sigma in SPECKLE],
        "Gaussian blur": [to_uint8(gaussian_filter(x, sigma, axes=(1, 2))) for sigma in BLUR],
        "saturation": [to_uint8(saturated(*change)) for change in SATURATE],
        "JPEG": [as_jpeg(images, quality) for quality in JPEG],
        "WebP": [np.stack([as_webp(each, quality) for each in images]) for quality in WEBP],
    }


def accuracy(model: torch.nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    return float((predict_probabilities(model, images).argmax(1) == labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--note", default="")
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("results/robust-tuning.json"))
    given = parser.parse_args()
    config = open_run(given.runs[0]).config()
    images = load_data(config, given.data_dir, Silent())
    part = split(images, config.data).validation
    drawn = part[balanced_sample(images.labels[part], images.ids[part], given.n)]
    labels, corrupted = images.labels[drawn], views(images.images[drawn])
    everything, labels_of_all = images.images[part], images.labels[part]
    rows, found = [], []
    for path in given.runs:
        run = open_run(path)
        model = load_classifier(run.weights)

        values = {
            name: float(np.mean([accuracy(model, pixels, labels) for pixels in strengths]))
            for name, strengths in corrupted.items()
        }
        augment = {
            name.removeprefix("augment."): value
            for name, value in flatten({"augment": vars(run.config().augment)}).items()
            if value
        }
        whole = accuracy(model, everything, labels_of_all)
        found.append({"augment": augment, "validation": whole, **values})
        added = ", ".join(
            f"{name} {augment[name]:g}"
            for name in ("trivial", "augmix", "blur", "noise", "jpeg")
            if name in augment
        )
        cells = [added or "none of these", f"{whole:.2%}"]
        rows.append([*cells, *(f"{values[name]:.1%}" for name in corrupted if name != "clean")])
        print(rows[-1], flush=True)
    head = ["augment", f"clean, all {len(part):,}", *[n for n in corrupted if n != "clean"]]
    record_benchmark(
        given.out, environment(torch.device("cpu"), "fp32"), n=len(drawn), note=given.note,
        runs=found, table={"head": head, "rows": rows},
    )  # fmt: skip


if __name__ == "__main__":
    main()

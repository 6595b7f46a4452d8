"""How many near duplicates are found: of planted copies of each kind, in what time, and how it
grows.

    python benchmarks/near_duplicates.py --sheets sheets

- recall: edited copies of CIFAR-10 images are planted among its 60,000, one copy of each image, and
  the share of copies found is counted. The images are divided into two halves with a seed: the
  thresholds of `data/alignment.py` were last chosen on copies of the first (`--half first`), the
  recorded numbers are of the second; earlier trials of the method used images of both.
- time: of the search among the 60,000 images themselves, in seconds of CPU and by the clock
- growth: seconds of CPU and peak memory on subsets, and on more images than CIFAR-10 has: the
  others are crops of its images, mirrored by turns, that overlap by 60 % at most

With `--sheets` up to 100 random pairs found in CIFAR-10 are drawn per kind of copy, for the eye;
`--wrong KIND=COUNT` records how many of them the eye found wrong.
"""

import argparse
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from clearsight.data.duplicates import NearDuplicates, near_duplicates
from clearsight.data.sources import load_images
from clearsight.evaluation.intervals import accuracy_interval
from clearsight.ledger import record_benchmark
from clearsight.runtime.device import pick_device
from clearsight.runtime.environment import environment

BICUBIC = Image.Resampling.BICUBIC
PLANTED = 1000  # copies of each kind
SIZES = (15_000, 60_000, 240_000)
SHOWN = 100
Draw = np.random.Generator


def mirrored(image: np.ndarray, draw: Draw) -> np.ndarray:
    return image[:, ::-1]


def shifted(image: np.ndarray, draw: Draw) -> np.ndarray:
    """By up to 4 of 32 px either way; filled by reflection, repetition or one colour."""
    side = len(image)
    most = side // 8
    x, y = draw.choice([(x, y) for x in range(2 * most + 1) for y in range(2 * most + 1)
                        if (x, y) != (most, most)])  # fmt: skip
    margins = ((most, most), (most, most), (0, 0))
    mode = draw.choice(["reflect", "edge", "constant"])
    if mode == "constant":
        wide = np.pad(image, margins, constant_values=int(draw.integers(256)))
    else:
        wide = np.pad(image, margins, mode=mode)
    return wide[y : y + side, x : x + side]


def cropped(image: np.ndarray, draw: Draw) -> np.ndarray:
    """5 to 15 % of the side cut off, and enlarged again."""
    side = len(image)
    left = side * draw.uniform(0.85, 0.95)
    x, y = draw.uniform(0, side - left, 2)
    box = (x, y, x + left, y + left)
    return np.asarray(Image.fromarray(image).resize((side, side), BICUBIC, box=box))


def padded(image: np.ndarray, draw: Draw) -> np.ndarray:
    """Made 5 to 15 % smaller, in a frame of black, white or the mean colour."""
    side = len(image)
    small = round(side * draw.uniform(0.85, 0.95))
    frame = np.empty_like(image)
    frame[:] = (0, 255, image.mean((0, 1)).round())[draw.integers(3)]
    x, y = draw.integers(0, side - small + 1, 2)
    frame[y : y + small, x : x + small] = Image.fromarray(image).resize((small, small), BICUBIC)
    return frame


def rescaled(image: np.ndarray, draw: Draw) -> np.ndarray:
    """To 50–75 % of the side, and back."""
    side = len(image)
    small = round(side * draw.uniform(0.5, 0.75))
    there = Image.fromarray(image).resize((small, small), BICUBIC)
    return np.asarray(there.resize((side, side), BICUBIC))


def recompressed(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def factor(draw: Draw) -> float:
    """0.6–0.8 or 1.2–1.4."""
    return float(draw.choice([draw.uniform(0.6, 0.8), draw.uniform(1.2, 1.4)]))


def brightened(image: np.ndarray, draw: Draw) -> np.ndarray:
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(image)).enhance(factor(draw)))


def contrasted(image: np.ndarray, draw: Draw) -> np.ndarray:
    return np.asarray(ImageEnhance.Contrast(Image.fromarray(image)).enhance(factor(draw)))


def tinted(image: np.ndarray, draw: Draw) -> np.ndarray:
    """The hue turned by 11 to 36° either way."""
    values = np.array(Image.fromarray(image).convert("HSV"))
    values[..., 0] += np.uint8((int(draw.choice([-1, 1])) * int(draw.integers(8, 27))) % 256)
    return np.asarray(Image.fromarray(values, "HSV").convert("RGB"))


def grey(image: np.ndarray, draw: Draw) -> np.ndarray:
    return np.asarray(Image.fromarray(image).convert("L").convert("RGB"))


def turned(image: np.ndarray, draw: Draw) -> np.ndarray:
    """By 1 to 5° either way; corners filled by repetition or black."""
    side = len(image)
    margin = side // 4
    wide = np.pad(image, ((margin, margin), (margin, margin), (0, 0)),
                  mode=("edge", "constant")[draw.integers(2)])  # fmt: skip
    angle = float(draw.choice([-1, 1]) * draw.uniform(1, 5))
    whole = np.asarray(Image.fromarray(wide).rotate(angle, BICUBIC))
    return whole[margin : margin + side, margin : margin + side]


KINDS: dict[str, Callable[[np.ndarray, Draw], np.ndarray]] = {
    "mirrored": mirrored,
    "shifted by up to 4 px": shifted,
    "cropped by 5–15 %": cropped,
    "padded by 5–15 %": padded,
    "rescaled to 50–75 % and back": rescaled,
    "JPEG, quality 75": lambda image, draw: recompressed(image, 75),
    "JPEG, quality 50": lambda image, draw: recompressed(image, 50),
    "brightness × 0.6–1.4": brightened,
    "contrast × 0.6–1.4": contrasted,
    "hue turned by 11–36°": tinted,
    "grey": grey,
    "turned by 1–5°": turned,
    "mirrored, cropped, JPEG 75": lambda image, draw: recompressed(
        cropped(image[:, ::-1], draw), 75
    ),
}


def plant(images: np.ndarray, half: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(images with the copies behind, positions of their originals, kind by kind)."""
    order = np.random.default_rng(seed).permutation(len(images))
    middle = len(order) // 2
    pool = order[:middle] if half == "first" else order[middle:]
    count = min(count, len(pool) // len(KINDS))
    originals = pool[: count * len(KINDS)]
    copies = np.empty((len(originals), *images.shape[1:]), np.uint8)
    for k, change in enumerate(KINDS.values()):
        for i in range(k * count, (k + 1) * count):
            draw = np.random.default_rng([seed, k, int(originals[i])])
            copies[i] = change(images[originals[i]], draw)
    return np.concatenate([images, copies]), originals


def recall(found: NearDuplicates, originals: np.ndarray, n: int) -> dict[str, dict[str, Any]]:
    """By kind: how many of the copies behind the first `n` images were paired with theirs."""
    pairs = set(map(tuple, found.pairs.tolist()))
    hit = np.array([(int(i), n + c) in pairs for c, i in enumerate(originals)])
    return {
        kind: {**accuracy_interval(int(part.sum()), len(part)), "n": len(part)}
        for kind, part in zip(KINDS, np.split(hit, len(KINDS)), strict=True)
    }


def search(images: np.ndarray) -> tuple[NearDuplicates, dict[str, float]]:
    """(what is found, CPU and wall seconds)."""
    cpu, wall = time.process_time(), time.perf_counter()
    n = len(images)
    found = near_duplicates(images, np.arange(n), np.arange(n))
    return found, {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def enlarged(images: np.ndarray, count: int) -> np.ndarray:
    """`count` images: the first of `images`, then crops of 60 % of their side, enlarged."""
    wide = np.empty((count, *images.shape[1:]), np.uint8)
    wide[: len(images)] = images[:count]
    side = images.shape[1]
    left = 0.6 * side
    corners = [(0, 0), (side - left, side - left), (side - left, 0), (0, side - left)]
    for i in range(len(images), count):
        turn, k = divmod(i - len(images), len(images))
        x, y = corners[turn % 4]
        crop = Image.fromarray(images[k]).resize((side, side), BICUBIC,
                                                 box=(x, y, x + left, y + left))  # fmt: skip
        # Every fifth turn starts with the corners again, upside down.
        wide[i] = np.rot90(np.asarray(crop), 1 + turn // 4)
    return wide


def peak_memory() -> int:
    """Bytes: the highest resident set of this process so far."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise SystemExit("benchmarks/near_duplicates.py: /proc/self/status has no VmHWM; use Linux")


def grown(sizes: list[int], data_dir: str | None) -> list[dict[str, Any]]:
    """Time and memory by number of images, each in a process of its own."""
    rows = []
    for size in sizes:
        command = [sys.executable, __file__, "--only-size", str(size)]
        command += [] if data_dir is None else ["--data-dir", data_dir]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    return rows


def one_size(images: np.ndarray, size: int) -> dict[str, Any]:
    wide = enlarged(images, size)
    before = peak_memory()
    found, seconds = search(wide)
    extra = peak_memory() - before
    return {"images": size, "pairs": len(found.pairs), "extra_memory": extra, **seconds}


def exponent(rows: list[dict[str, Any]]) -> float | None:
    """The slope of log CPU time over log images."""
    if len(rows) < 2:
        return None
    x, y = (np.log([row[key] for row in rows]) for key in ("images", "cpu"))
    return float(np.polyfit(x, y, 1)[0])


def kind_of(transform: np.ndarray, is_mirrored: bool, first: np.ndarray, second: np.ndarray) -> str:
    """What an edited pair looks like it went through, for the contact sheets."""
    if is_mirrored:
        return "mirrored"
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    angle = float(np.degrees(np.arctan2(transform[1, 0], transform[0, 0])))
    shift = float(np.abs(transform[:2, 2]).max()) * len(first) / 2
    if abs(angle) > 2:
        return "turned"
    if abs(np.log(scale)) > 0.04:
        return "scaled"
    if shift > 0.7:
        return "shifted"
    grey_too = first.std(-1).mean() < 2 or second.std(-1).mean() < 2
    moved = np.abs(first.mean((0, 1)) - second.mean((0, 1))).max() > 10
    return "recoloured" if grey_too or moved else "recompressed"


def draw_sheets(folder: Path, images: np.ndarray, found: NearDuplicates) -> dict[str, int]:
    """Draws up to 100 random pairs of each kind; returns how many pairs there are of each.

    Of a group of duplicates one random pair counts, or one car of which there are 79 versions would
    fill the sheets.
    """
    from clearsight.data.duplicates import connected

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(found.pairs))
    groups = connected(len(images), found.pairs)[found.pairs[order, 0]]
    _, once = np.unique(groups, return_index=True)
    kinds: dict[str, list[int]] = {}
    for p in rng.permutation(order[once]):
        a, b = found.pairs[p]
        kind = kind_of(found.transform[p], bool(found.mirrored[p]), images[a], images[b])
        kinds.setdefault(kind, []).append(int(p))
    for kind, members in kinds.items():
        zoom, columns = 2, 10
        side = images.shape[1] * zoom
        shown = members[:SHOWN]
        sheet = Image.new(
            "RGB", (columns * (2 * side + 16), -(-len(shown) // columns) * (side + 16))
        )
        pen = ImageDraw.Draw(sheet)
        for place, p in enumerate(shown):
            x, y = place % columns * (2 * side + 16), place // columns * (side + 16)
            pen.text((x, y), f"{place} {found.similarity[p]:.2f}")
            for column, i in enumerate(found.pairs[p]):
                picture = Image.fromarray(images[i]).resize((side, side), Image.Resampling.NEAREST)
                sheet.paste(picture, (x + column * (side + 2), y + 12))
        sheet.save(folder / f"{kind}.png")
    return {kind: len(members) for kind, members in kinds.items()}


def tabulated(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The rows of the documents."""
    rows = [
        [kind, f"{row['value']:.1%}".replace("%", " %"),
         f"{100 * row['low']:.1f}–{100 * row['high']:.1f} %", f"{row['n']:,}"]
        for kind, row in found.items()
    ]  # fmt: skip
    return {"head": ["planted copies", "found", "95 % interval", "n"], "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--half", choices=("first", "second"), default="second")
    parser.add_argument("--planted", type=int, default=PLANTED)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--sheets", type=Path)
    parser.add_argument("--wrong", nargs="*", default=[], metavar="KIND=COUNT")
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only-size", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    images = np.asarray(load_images("cifar10", data_dir=given.data_dir, download=False).images)
    if given.only_size is not None:
        print(json.dumps(one_size(images, given.only_size)))
        return
    wide, originals = plant(images, given.half, given.planted, given.seed)
    planted, _ = search(wide)
    rates = recall(planted, originals, len(images))
    table = tabulated(rates)
    for row in table["rows"]:
        print(f"{row[0]:<32}{row[1]:>8}{row[2]:>16}{row[3]:>8}", flush=True)
    own, seconds = search(images)
    print(f"{len(own.pairs):,} pairs among {len(images):,} images in {seconds}", flush=True)
    kinds = None if given.sheets is None else draw_sheets(given.sheets, images, own)
    print(kinds, flush=True)
    rows = grown(given.sizes, given.data_dir)
    if given.out is not None:
        wrong = {kind: int(count) for kind, count in (each.split("=") for each in given.wrong)}
        judged = {
            kind: {"seen": min(SHOWN, count), "wrong": wrong[kind]}
            for kind, count in (kinds or {}).items()
            if kind in wrong
        }
        record_benchmark(
            given.out, environment(pick_device("cpu"), "fp32"),
            data="cifar10", n=len(images), half=given.half, seed=given.seed, recall=rates,
            pairs=len(own.pairs), seconds=seconds, kinds=kinds, by_eye=judged,
            growth=rows, exponent=exponent(rows), table=table,
        )  # fmt: skip


if __name__ == "__main__":
    main()

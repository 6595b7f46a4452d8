"""Near duplicates: one shot in two versions is found, two shots of a kind are not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from clearsight.data import duplicates
from clearsight.data.duplicates import _averaging, near_duplicates


def shots(n: int, side: int = 32, seed: int = 0) -> np.ndarray:
    """n different smooth pictures with some detail: uint8 [n, side, side, 3]."""
    rng = np.random.default_rng(seed)
    pixels = []
    for _ in range(n):
        rough = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        fine = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        size = (side, side)
        blend = Image.blend(rough.resize(size, 3), fine.resize(size, 3), 0.35)
        pixels.append(np.asarray(blend))
    return np.stack(pixels)


def found(images: np.ndarray) -> tuple[list[list[int]], str | None]:
    n = len(images)
    pairs, similarity, note = near_duplicates(images, np.arange(n), np.arange(n))
    assert len(pairs) == len(similarity)
    return pairs.tolist(), note


def recompressed(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file).convert("RGB"))


def brighter(image: np.ndarray) -> np.ndarray:
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(image)).enhance(1.3))


def grey(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).convert("L").convert("RGB"))


def resampled(image: np.ndarray) -> np.ndarray:
    side = len(image)
    small = Image.fromarray(image).resize((side * 3 // 4, side * 3 // 4), Image.Resampling.BICUBIC)
    return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("change", [recompressed, brighter, grey, resampled])
@pytest.mark.parametrize("side", [20, 32, 64])
def test_versions_of_one_shot_are_found(change, side: int) -> None:
    images = shots(150, side)
    images[120] = change(images[7])
    assert found(images) == ([[7, 120]], None)


def test_different_shots_are_not() -> None:
    assert found(shots(150)) == ([], None)


def test_two_ships_under_one_horizon_are_not() -> None:
    images = shots(150)
    for i, (left, right, height) in {10: (4, 17, 3), 11: (13, 28, 3)}.items():
        images[i, :16], images[i, 16:] = 200, 60
        images[i, 16 - height : 16, left:right] = 90
    _, hashes = duplicates._hash(images, np.array([10, 11]))
    assert np.dot(*hashes) > duplicates.HASH_THRESHOLD
    assert found(images) == ([], None)


def test_flat_images_agree_with_none() -> None:
    images = shots(120)
    images[:20] = np.arange(20, dtype=np.uint8)[:, None, None, None]
    assert found(images) == ([], None)


def test_exact_duplicates_are_left_to_their_ids() -> None:
    images = shots(120)
    images[50] = images[3]
    groups = np.arange(120)
    groups[50] = 3
    pairs, _, _ = near_duplicates(images, np.arange(120), groups)
    assert pairs.tolist() == []


def test_only_the_positions_given_are_looked_at() -> None:
    images = shots(120)
    images[50] = recompressed(images[3])
    images[90] = recompressed(images[3])
    pairs, _, _ = near_duplicates(images, np.array([90, 8, 3]), np.arange(3))
    assert pairs.tolist() == [[0, 2]]


def test_pairs_across_blocks_of_the_search() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2600, 8, 8, 3), dtype=np.uint8)
    for first, second in ((0, 2599), (511, 512), (600, 2100)):
        images[second] = np.clip(images[first].astype(int) + 3, 0, 255)
    assert sorted(found(images)[0]) == [[0, 2599], [511, 512], [600, 2100]]


def test_images_alike_by_nature_need_near_identity() -> None:
    from sklearn.datasets import load_digits

    scans = (load_digits().images[:400] * 255 / 16).astype(np.uint8)
    images = scans.repeat(4, 1).repeat(4, 2)[..., None].repeat(3, 3)
    images[399] = np.clip(images[0].astype(int) + 2, 0, 255)
    pairs, note = found(images)
    assert [0, 399] in pairs
    assert len(pairs) < 5
    assert note is not None
    assert "so alike" in note


def test_search_stops_where_everything_is_alike(monkeypatch) -> None:
    monkeypatch.setattr(duplicates, "MOST_CANDIDATES", 100)
    frames = np.clip(shots(1).astype(int) + np.arange(60)[:, None, None, None], 0, 255)
    pairs, note = found(frames.astype(np.uint8))
    assert len(pairs) <= 100
    assert note is not None
    assert "stopped after 100 pairs" in note


def test_averaging_weighs_pixels_by_area() -> None:
    np.testing.assert_allclose(_averaging(3, 2), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])
    np.testing.assert_allclose(_averaging(2, 4), [[1, 0], [1, 0], [0, 1], [0, 1]])


def test_two_shots_in_one_frame_are_not() -> None:
    images = shots(150)
    for i in (10, 11):
        framed = np.full((32, 32, 3), 255, np.uint8)
        framed[6:26, 6:26] = images[i, :20, :20] // 3
        images[i] = framed
    grey, _ = duplicates._hash(images, np.array([10, 11]))
    assert duplicates._edge_similarity(grey, np.array([[0, 1]])) > duplicates.EDGE_THRESHOLD
    assert found(images) == ([], None)

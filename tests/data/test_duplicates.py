"""Near duplicates: one shot in two versions is found, two shots of a kind are not."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from clearsight.data import alignment, descriptors, duplicates
from clearsight.data.duplicates import connected, near_duplicates


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
    result = near_duplicates(images, np.arange(n), np.arange(n))
    assert len(result.pairs) == len(result.similarity) == len(result.mirrored)
    assert result.pairs.dtype == np.int64
    return result.pairs.tolist(), result.note


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


def mirrored(image: np.ndarray) -> np.ndarray:
    return image[:, ::-1]


def shifted(image: np.ndarray) -> np.ndarray:
    by = len(image) // 10
    wide = np.pad(image, ((by, by), (by, by), (0, 0)), constant_values=90)
    return wide[2 * by :, : len(image)]


def cropped(image: np.ndarray) -> np.ndarray:
    side = len(image)
    box = (0.1 * side, 0.04 * side, side, 0.94 * side)
    return np.asarray(Image.fromarray(image).resize((side, side), 3, box=box))


def padded(image: np.ndarray) -> np.ndarray:
    side = len(image)
    small = round(0.88 * side)
    frame = np.full_like(image, 255)
    edge = side // 16
    frame[edge : edge + small, edge : edge + small] = Image.fromarray(image).resize(
        (small, small), 3
    )
    return frame


def turned(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).rotate(4, Image.Resampling.BICUBIC))


CHANGES = [
    recompressed, brighter, grey, resampled, mirrored, shifted, cropped, padded, turned
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("side", [20, 32, 64])
def test_versions_of_one_shot_are_found(change, side: int) -> None:
    images = shots(150, side)
    for original, copy in ((7, 120), (60, 30)):
        images[copy] = change(images[original])
    assert found(images) == ([[7, 120], [30, 60]], None)


def test_what_was_done_is_told() -> None:
    images = shots(150)
    images[120], images[30] = shifted(images[7]), mirrored(images[60])
    result = near_duplicates(images, np.arange(150), np.arange(150))
    assert result.mirrored.tolist() == [False, True]
    # Shifted by 3 px to the right and up: what is at x in the first is at x + 3 / 16 in the second.
    np.testing.assert_allclose(
        result.transform[0], [[1, 0, 3 / 16], [0, 1, -3 / 16], [0, 0, 1]], atol=0.01
    )
    np.testing.assert_allclose(result.transform[1], np.eye(3), atol=0.01)


def test_different_shots_are_not() -> None:
    assert found(shots(150)) == ([], None)


def test_two_ships_under_one_horizon_are_not() -> None:
    images = shots(150)
    for i, (left, right, height) in {10: (4, 17, 3), 11: (13, 28, 3)}.items():
        images[i, :16], images[i, 16:] = 200, 60
        images[i, 16 - height : 16, left:right] = 90
    assert found(images) == ([], None)


def test_two_shots_in_one_frame_are_not() -> None:
    images = shots(150)
    for i in (10, 11):
        framed = np.full((32, 32, 3), 255, np.uint8)
        framed[6:26, 6:26] = images[i, :20, :20] // 3
        images[i] = framed
    assert found(images) == ([], None)


def test_flat_images_agree_with_none() -> None:
    images = shots(120)
    images[:20] = np.arange(20, dtype=np.uint8)[:, None, None, None]
    assert found(images) == ([], None)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_images(n: int) -> None:
    assert found(shots(2)[:n]) == ([], None)


def test_two_versions_alone() -> None:
    images = shots(2)
    images[1] = recompressed(images[0])
    assert found(images) == ([[0, 1]], None)


def test_exact_duplicates_are_left_to_their_ids() -> None:
    images = shots(120)
    images[50] = images[3]
    groups = np.arange(120)
    groups[50] = 3
    assert near_duplicates(images, np.arange(120), groups).pairs.tolist() == []


def test_only_the_positions_given_are_looked_at() -> None:
    images = shots(120)
    images[50] = recompressed(images[3])
    images[90] = recompressed(images[3])
    result = near_duplicates(images, np.array([90, 8, 3]), np.arange(3))
    assert result.pairs.tolist() == [[0, 2]]


def test_pairs_across_blocks_and_cells_of_the_index(monkeypatch) -> None:
    monkeypatch.setattr(duplicates, "_FEWEST_INDEXED", 1000)
    images = shots(1200, 16)
    for first, second in ((0, 1199), (249, 250), (600, 900)):
        images[second] = np.clip(images[first].astype(int) + 3, 0, 255)
    assert found(images)[0] == [[0, 1199], [249, 250], [600, 900]]


def test_many_versions_of_one_shot_are_connected() -> None:
    images = shots(150)
    angles = np.linspace(-4, 4, 30)
    for i, angle in enumerate(angles):
        images[40 + i] = np.asarray(
            Image.fromarray(images[5]).rotate(float(angle), Image.Resampling.BICUBIC)
        )
    pairs, note = found(images)
    component = connected(150, np.array(pairs))
    assert set(component[40:70]) == {5}
    assert (
        np.delete(component, np.r_[5, 40:70]) == np.delete(np.arange(150), np.r_[5, 40:70])
    ).all()
    assert note is None


def test_images_alike_by_nature_need_near_identity() -> None:
    from sklearn.datasets import load_digits

    scans = (load_digits().images[:600] * 255 / 16).astype(np.uint8)
    images = scans.repeat(4, 1).repeat(4, 2)[..., None].repeat(3, 3)
    images[399] = np.clip(images[0].astype(int) + 2, 0, 255)
    result = near_duplicates(images, np.arange(600), np.arange(600))
    assert [0, 399] in result.pairs.tolist()
    assert len(result.pairs) < 60
    assert result.uniform
    assert result.note is not None
    assert "so alike" in result.note


def test_the_search_is_cut_short_where_everything_is_alike(monkeypatch) -> None:
    monkeypatch.setattr(duplicates, "_MOST_CANDIDATES", 1)
    monkeypatch.setattr(duplicates, "_ALWAYS_COMPARED", 0)
    frames = np.clip(shots(1).astype(int) + np.arange(60)[:, None, None, None], 0, 255)
    pairs, note = found(frames.astype(np.uint8))
    assert len(pairs) <= 60
    assert note is not None
    assert "only the 60 closest pairs" in note


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    found(shots(20))
    assert torch.get_num_threads() == before


def test_mirrored_features_are_those_of_the_mirror_image() -> None:
    images = torch.from_numpy(descriptors.thumbnails(shots(5), np.arange(5))).float()
    there = descriptors.pooled(descriptors.edges(images.flip(2)))
    torch.testing.assert_close(
        descriptors.mirrored(descriptors.pooled(descriptors.edges(images))), there,
        atol=1e-3, rtol=1e-3,
    )  # fmt: skip


@pytest.mark.parametrize(("angle", "scale", "x", "y"), [(3, 1.1, 2, -1), (-5, 0.9, 0, 3)])
def test_alignment_finds_the_transform(angle: float, scale: float, x: float, y: float) -> None:
    first = torch.from_numpy(descriptors.thumbnails(shots(8), np.arange(8))).float()
    cos, sin = (scale * f(math.radians(angle)) for f in (math.cos, math.sin))
    there = torch.tensor([[cos, -sin, x / 16], [sin, cos, y / 16], [0.0, 0.0, 1.0]])
    grid = torch.nn.functional.affine_grid(
        torch.linalg.inv(there)[None, :2].repeat(8, 1, 1), [8, 1, 32, 32], align_corners=False
    )
    second = torch.nn.functional.grid_sample(
        first[:, None], grid, padding_mode="border", align_corners=False
    )[:, 0]
    start = torch.tensor([[x, y]]).repeat(8, 1) * 0.5
    found = alignment.align(first, second, start, torch.zeros(8, dtype=torch.bool))
    torch.testing.assert_close(found.transform, there.repeat(8, 1, 1), atol=0.01, rtol=0)
    assert (found.similarity > found.required).all()
    assert (found.required >= alignment.THRESHOLD).all()


def test_larger_changes_need_a_better_fit() -> None:
    same = torch.eye(3)[None]
    half = torch.diag(torch.tensor([0.7, 0.7, 1.0]))[None]
    yes, no = torch.tensor([True]), torch.tensor([False])
    assert alignment._penalty(same, no).item() == 0
    assert alignment._penalty(same, yes).item() == pytest.approx(0.03)
    assert alignment._penalty(half, no).item() == 1


def test_borders_that_were_filled_in_are_left_out() -> None:
    image = torch.from_numpy(descriptors.thumbnails(shots(1), np.arange(1))).float()
    assert alignment._content(image).min() == 1
    framed = image.clone()
    framed[:, :3], framed[:, :, -2:] = 255, 0
    content = alignment._content(framed)[0]
    # Three rows, the next blurred into them, and one more in case it repeats; columns likewise.
    assert content.amax(1).tolist() == [0] * 5 + [1] * 27
    assert content.amax(0).tolist() == [1] * 28 + [0] * 4


def test_connected_images_share_the_lowest_index() -> None:
    pairs = np.array([[1, 4], [4, 2], [0, 5]])
    assert connected(7, pairs).tolist() == [0, 1, 1, 3, 1, 0, 6]
    assert connected(2, np.empty((0, 2), np.int64)).tolist() == [0, 1]
    assert connected(0, np.empty((0, 2), np.int64)).tolist() == []

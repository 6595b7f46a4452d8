"""The corruptions, by properties computed by hand and other libraries' results."""

import io
import itertools

import numpy as np
import pytest
import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom
from torch import nn

from clearsight.data.images import content_ids
from clearsight.errors import UsageError
from clearsight.evaluation.corruptions import (
    CORRUPTIONS,
    JPEG_QUALITIES,
    balanced_sample,
    corrupt,
    right_under_corruptions,
    summarise_corruptions,
)
from clearsight.evaluation.noise_and_blur import glass_blur, moved, zoomed
from clearsight.evaluation.weather_and_digital import as_jpeg, plasma


def photos(n: int = 40, side: int = 32) -> np.ndarray:
    """Smooth pictures with some texture, uint8 [n, side, side, 3]."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(30, 226, (n, 6, 6, 3), dtype=np.uint8)
    large = [Image.fromarray(c).resize((side, side), Image.Resampling.BICUBIC) for c in coarse]
    smooth = np.stack([np.asarray(image) for image in large]).astype(float)
    return (smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)


IMAGES = photos()
IDS = content_ids(IMAGES)
GREY = np.full((30, 32, 32, 3), 128, np.uint8)


def draws(n: int) -> list[np.random.Generator]:
    return [np.random.default_rng(k) for k in range(n)]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_corrupted_the_same_way_whatever_stands_beside_it(name: str) -> None:
    before = IMAGES.copy()
    together = corrupt(IMAGES, name, 3, IDS)
    order = np.random.default_rng(1).permutation(len(IMAGES))[:7]
    assert np.array_equal(corrupt(IMAGES[order], name, 3, IDS[order]), together[order])
    assert np.array_equal(IMAGES, before)
    assert together.dtype == np.uint8
    assert together.shape == IMAGES.shape


@pytest.mark.parametrize(
    "name", sorted({*CORRUPTIONS} - {"glass_blur", "frost", "elastic_transform"})
)
def test_it_changes_more_with_severity(name: str) -> None:
    change = [
        np.abs(corrupt(IMAGES, name, severity, IDS).astype(float) - IMAGES).mean()
        for severity in (1, 3, 5)
    ]
    assert 0 < change[0] < change[1] < change[2]


@pytest.mark.parametrize("side", [8, 13, 64])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_other_sizes_work(name: str, side: int) -> None:
    images = photos(2, side)
    for severity in (1, 5):
        assert corrupt(images, name, severity, content_ids(images)).shape == images.shape


def test_noise_has_the_published_strength() -> None:
    ids = IDS[:30]
    gaussian = corrupt(GREY, "gaussian_noise", 5, ids) / 255 - 128 / 255
    assert gaussian.std() == pytest.approx(0.10, rel=0.02)
    shot = corrupt(GREY, "shot_noise", 5, ids) / 255
    assert shot.std() == pytest.approx(np.sqrt(128 / 255 / 50), rel=0.02)
    impulse = corrupt(GREY, "impulse_noise", 5, ids)
    assert (impulse == 0).mean() == pytest.approx(0.035, rel=0.1)
    assert (impulse == 255).mean() == pytest.approx(0.035, rel=0.1)


def test_blurs_keep_one_colour() -> None:
    for name in ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"):
        for severity in (1, 5):
            assert np.array_equal(corrupt(GREY, name, severity, IDS[:30]), GREY), name


def test_defocus_of_a_point_is_the_disk() -> None:
    point = np.zeros((1, 32, 32, 3), np.uint8)
    point[0, 16, 16] = 255
    blurred = corrupt(point, "defocus_blur", 5, IDS[:1])[0, ..., 0]
    # Radius 1.5 px covers 3 × 3 pixels; the smoothing by 0.1 px does nothing.
    assert (blurred[15:18, 15:18] == 28).all()
    assert blurred.astype(int).sum() == 9 * 28


def test_motion_smears_to_one_side() -> None:
    point = np.zeros((2, 32, 32, 1), np.float32)
    point[:, 16, 16] = 1
    across, up = moved(point, 6, 2, np.array([0.0, 90.0]))[..., 0]
    weights = np.exp(-0.5 * (np.arange(9) / 2) ** 2)
    weights /= weights.sum()
    # The pixel at the point has the largest weight, those before it less and less.
    assert across[16, 8:17] == pytest.approx(weights[::-1], abs=1e-6)
    assert up[8:17, 16] == pytest.approx(weights[::-1], abs=1e-6)
    assert across[16, 17:] == pytest.approx(0, abs=1e-6)


def test_zoom_by_two_is_linear_interpolation_of_the_centre() -> None:
    ramp = np.broadcast_to(np.arange(32.0, dtype=np.float32), (1, 32, 32))[..., None]
    found = zoomed(ramp, 2.0)[0, :, :, 0]
    assert found == pytest.approx(np.broadcast_to(np.linspace(8, 23, 32), (32, 32)), abs=1e-4)
    assert zoomed(ramp, 1.0) == pytest.approx(ramp)


@pytest.mark.parametrize("factor", [1.03, 1.17, 1.75])
def test_zoom_is_scipys_of_the_centre(factor: float) -> None:
    cut = int(np.ceil(32 / factor))
    top = (32 - cut) // 2
    inside = IMAGES[0, top : top + cut, top : top + cut].astype(np.float32)
    large = zoom(inside, (factor, factor, 1), order=1)
    first = (len(large) - 32) // 2
    expected = large[first : first + 32, first : first + 32]
    assert zoomed(IMAGES[:1].astype(np.float32), factor)[0] == pytest.approx(expected, abs=1e-3)


def test_glass_takes_neighbours_up_and_left() -> None:
    ramp = np.zeros((1, 32, 32, 3), np.float32)
    ramp[0] = np.arange(32)[None, :, None]
    # At severity 1 the blur is of 0.05 px, which is none.
    lag = (ramp - glass_blur(ramp, 1, draws(1)))[0, 2:, 2:, 0]
    assert {*np.unique(lag.round(4)).tolist()} == {0.0, 1.0}
    assert lag.mean() == pytest.approx(0.5, abs=0.05)


def test_glass_blurs_as_scipy_does() -> None:
    x = IMAGES[:2].astype(np.float32) / 255
    corner = glass_blur(x, 3, draws(2))[:, :1, :1]  # its pixel does not move
    once = gaussian_filter(x, (0, 0.4, 0.4, 0), mode="nearest")
    twice = gaussian_filter(once, (0, 0.4, 0.4, 0), mode="nearest")
    assert corner == pytest.approx(twice[:, :1, :1], abs=0.02)


def test_brightness_is_the_value_of_hsv() -> None:
    hsv = rgb_to_hsv(IMAGES / 255)
    hsv[..., 2] = (hsv[..., 2] + 0.3).clip(0, 1)
    expected = hsv_to_rgb(hsv) * 255
    assert np.abs(corrupt(IMAGES, "brightness", 5, IDS) - expected).max() <= 0.51
    black = np.zeros((1, 32, 32, 3), np.uint8)
    assert (corrupt(black, "brightness", 1, IDS[:1]) == 13).all()  # 0.05 of 255


def test_contrast_shrinks_the_distance_to_the_mean() -> None:
    found = corrupt(IMAGES, "contrast", 5, IDS).astype(float)
    mean = IMAGES.mean((1, 2), keepdims=True)
    assert np.abs(found - (mean + 0.15 * (IMAGES - mean))).max() <= 0.51


def test_fog_keeps_the_brightest_value_at_most() -> None:
    foggy = corrupt(IMAGES, "fog", 5, IDS)
    assert (foggy.max((1, 2, 3)) <= IMAGES.max((1, 2, 3))).all()
    assert foggy.std((1, 2)).mean() < 0.7 * IMAGES.std((1, 2)).mean()


def test_clouds_go_from_0_to_1_and_are_smoother_with_more_decay() -> None:
    rough, smooth = plasma(30, 1.5, draws(9)), plasma(30, 3, draws(9))
    for clouds in (rough, smooth):
        assert clouds.shape == (9, 32, 32)
        assert (clouds.min((1, 2)) == 0).all()
        assert (clouds.max((1, 2)) == 1).all()
    steps = [np.abs(np.diff(clouds, axis=2)).mean() for clouds in (rough, smooth)]
    assert steps[1] < 0.7 * steps[0]


def test_elastic_moves_pixels_and_makes_no_new_colours() -> None:
    ramp = np.broadcast_to(np.arange(32, dtype=np.uint8)[:, None] * 8, (5, 32, 32))
    ramp = np.ascontiguousarray(np.stack([ramp] * 3, -1))
    found = corrupt(ramp, "elastic_transform", 5, IDS[:5])
    assert found.max() <= ramp.max()
    inside = np.abs(found.astype(int) - ramp)[:, 10:22, 10:22] / 8
    assert 0.1 < inside.mean() < 6  # px


def test_pixelate_and_jpeg_are_pillows() -> None:
    image = Image.fromarray(IMAGES[0])
    small = image.resize((20, 20), Image.Resampling.BOX).resize((32, 32), Image.Resampling.BOX)
    assert np.array_equal(corrupt(IMAGES[:1], "pixelate", 5, IDS[:1])[0], np.asarray(small))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40, subsampling=2)
    expected = np.asarray(Image.open(file))
    assert np.array_equal(corrupt(IMAGES[:1], "jpeg_compression", 5, IDS[:1])[0], expected)
    assert np.array_equal(as_jpeg(IMAGES[:1], 40)[0], expected)


def test_snow_and_frost_brighten_dark_images() -> None:
    dark = np.full((8, 32, 32, 3), 40, np.uint8)
    for name in ("snow", "frost"):
        found = corrupt(dark, name, 5, IDS[:8]).astype(float)
        assert (found.mean((1, 2, 3)) > 60).all(), name
        assert (found.std((1, 2)) > 2).all(), name


def test_wrong_names_and_severities_are_refused() -> None:
    with pytest.raises(UsageError, match="'rain', expected one of gaussian_noise"):
        corrupt(IMAGES, "rain", 1, IDS)
    with pytest.raises(UsageError, match="severity: found 6"):
        corrupt(IMAGES, "fog", 6, IDS)


def test_a_sample_is_balanced_as_far_as_it_can_be_and_keeps_its_first() -> None:
    labels = np.array([0] * 50 + [1] * 50 + [2] * 3)
    ids = np.array([f"{k * 7919 % 103:064x}" for k in range(103)], "S72")
    drawn = balanced_sample(labels, ids, 33)
    assert np.bincount(labels[drawn]).tolist() == [15, 15, 3]
    assert np.array_equal(balanced_sample(labels, ids, 20), drawn[:20])
    order = np.random.default_rng(0).permutation(103)
    assert {*ids[order][balanced_sample(labels[order], ids[order], 33)]} == {*ids[drawn]}
    assert len(balanced_sample(labels, ids, 1000)) == 103


class BrightOrDark(nn.Module):
    """Class 1 where an image is brighter than mid grey."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        bright = images.float().mean((1, 2, 3)) - 128
        return torch.stack([-bright, bright], 1) + self.weight


def test_the_table_counts_what_the_model_gets_right() -> None:
    images = IMAGES.copy()
    images[20:] = 255 - images[20:] // 4  # bright
    images[:20] //= 4  # dark
    labels = np.repeat([0, 1], 20)
    ids = content_ids(images)
    result = summarise_corruptions(right_under_corruptions(BrightOrDark(), images, labels, ids))
    assert result["clean"]["value"] == 1
    assert [row["name"] for row in result["corruptions"]] == list(CORRUPTIONS)
    by_name = {row["name"]: row for row in result["corruptions"]}
    for name, severity in itertools.product(("contrast", "snow"), (1, 5)):
        found = BrightOrDark()(torch.from_numpy(corrupt(images, name, severity, ids))).argmax(1)
        expected = (found.numpy() == labels).mean()
        assert by_name[name]["severities"][severity - 1]["value"] == expected
    values = [[s["value"] for s in row["severities"]] for row in result["corruptions"]]
    assert result["mean"]["value"] == pytest.approx(np.mean(values))
    assert result["drop"]["value"] == pytest.approx(1 - np.mean(values))
    assert result["mean"]["low"] <= result["mean"]["value"] <= result["mean"]["high"]
    assert [row["quality"] for row in result["jpeg"]] == list(JPEG_QUALITIES)
    assert all(row["drop"]["value"] == 0 for row in result["jpeg"])

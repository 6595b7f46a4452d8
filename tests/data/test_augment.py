"""Augmentation: exact on whole pixels, per image, deterministic, without global random state."""

import numpy as np
import pytest
import torch
from torch import Tensor

from clearsight.config.schema import AugmentConfig
from clearsight.data.augment import alternating_flip, augment, resized_lengths
from clearsight.errors import ConfigError

EVERYTHING = AugmentConfig(
    flip="random", translate=4, rotate=36, zoom=0.1, brightness=0.2, contrast=0.2,
    cutout=8, mixup=0.2, cutmix=1.0,
)  # fmt: skip


def noise(n: int = 64, side: int = 12) -> Tensor:
    return torch.randint(0, 256, (n, side, side, 3), dtype=torch.uint8)


def run(
    images: Tensor, config: AugmentConfig, *, seed: int = 0, epoch: int = 1, classes: int = 3
) -> tuple[Tensor, Tensor]:
    n = len(images)
    return augment(
        images, torch.arange(n) % classes, config=config, epoch=epoch, indices=torch.arange(n),
        generator=torch.Generator().manual_seed(seed), classes=classes,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_nothing_on_gives_the_batch_back() -> None:
    images = noise()
    out, targets = run(images, AugmentConfig())
    assert out is images
    assert targets.dtype == torch.int64


@pytest.mark.parametrize(
    "config",
    [
        EVERYTHING,
        AugmentConfig(flip="random"), AugmentConfig(flip="alternating"), AugmentConfig(translate=2),
        AugmentConfig(rotate=20.0), AugmentConfig(zoom=0.2), AugmentConfig(brightness=0.3),
        AugmentConfig(contrast=0.3), AugmentConfig(cutout=5), AugmentConfig(mixup=0.5),
        AugmentConfig(cutmix=1.0),
    ],
)  # fmt: skip
def test_each_kind_keeps_its_promises(config: AugmentConfig) -> None:
    images = noise()
    before, state = images.clone(), torch.get_rng_state()
    numpy_state = np.random.get_state(legacy=False)["state"]["key"].copy()
    out, targets = run(images, config, seed=3)
    assert torch.equal(images, before), "the input was modified"
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], numpy_state)
    assert (out.dtype, out.shape, out.is_contiguous()) == (torch.uint8, images.shape, True)
    assert not torch.equal(out, images)

    again, targets_again = run(images, config, seed=3)
    assert torch.equal(out, again)
    assert torch.equal(targets, targets_again)
    if config.flip != "alternating":
        assert not torch.equal(out, run(images, config, seed=4)[0])


@pytest.mark.parametrize(
    "one",
    [{"translate": 2}, {"rotate": 20.0}, {"zoom": 0.2}, {"brightness": 0.3}, {"contrast": 0.3},
     {"cutout": 5}],
)  # fmt: skip
def test_drawn_per_image(one: dict) -> None:
    images = noise(1).expand(32, -1, -1, -1).contiguous()
    out, _ = run(images, AugmentConfig(**one))
    assert len(out.flatten(1).unique(dim=0)) > 8


def test_translation_is_reflected_padding_and_crop() -> None:
    images = noise(300, side=6)
    out, _ = run(images, AugmentConfig(translate=2))
    seen = set()
    for image, shifted in zip(images.numpy(), out.numpy(), strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
        crops = {(dy, dx): padded[dy : dy + 6, dx : dx + 6] for dy in range(5) for dx in range(5)}
        matches = [shift for shift, crop in crops.items() if np.array_equal(crop, shifted)]
        assert len(matches) == 1
        seen.update(matches)
    assert len(seen) == 25, "300 draws should meet all 25 shifts"


def test_largest_shift_the_reflection_can_fill() -> None:
    run(noise(4, side=5), AugmentConfig(translate=4))
    with pytest.raises(ConfigError, match=r"augment\.translate: found 5 px .* 4 px at most"):
        run(noise(4, side=5), AugmentConfig(translate=5))


def test_lengths_shrink_with_the_images() -> None:
    config = AugmentConfig(flip="random", translate=2, cutout=8, contrast=0.2)
    found = resized_lengths(config, 0.75)
    assert found == AugmentConfig(flip="random", translate=1, cutout=6, contrast=0.2)
    assert resized_lengths(config, 1.0) == config


def test_random_flip_mirrors_about_half() -> None:
    images = noise(400, side=4)
    out, _ = run(images, AugmentConfig(flip="random"))
    mirrored = (out == images.flip(2)).flatten(1).all(1)
    assert torch.equal(out[~mirrored], images[~mirrored])
    assert 160 < mirrored.sum() < 240


def test_alternating_flip_mirrors_every_image_in_every_second_epoch() -> None:
    images = noise(400, side=4)
    config = AugmentConfig(flip="alternating")
    first, second, third = (run(images, config, seed=epoch, epoch=epoch)[0] for epoch in (1, 2, 3))
    assert torch.equal(second, first.flip(2))
    assert torch.equal(third, first)


def test_alternating_flip_starts_even_and_unrelated_to_order() -> None:
    flipped = alternating_flip(torch.arange(50_000), epoch=0).float()
    assert flipped.mean().item() == pytest.approx(0.5, abs=0.01)
    for stride in (2, 10):  # sorted or interleaved classes must not flip together
        assert flipped[::stride].mean().item() == pytest.approx(0.5, abs=0.02)
    repeats = (flipped[1:] == flipped[:-1]).float().mean().item()
    assert repeats == pytest.approx(0.5, abs=0.01)


def test_alternating_flip_may_go_by_a_count_of_each_image() -> None:
    indices = torch.arange(100)
    counts = indices % 3
    flipped = alternating_flip(indices, counts)
    for count in range(3):
        own = counts == count
        assert torch.equal(flipped[own], alternating_flip(indices, count)[own])


def test_rotation_reaches_the_angle_and_no_further() -> None:
    side = 33
    line = torch.zeros(200, side, side, 3, dtype=torch.uint8)
    line[:, side // 2, 17:] = 255  # from the centre to the right
    out, _ = run(line, AugmentConfig(rotate=36))
    tip = out[:, :, 28, 0].float()  # 12 px right of the centre
    rows = torch.arange(side) - 16
    angles = torch.rad2deg(torch.atan2((tip * rows).sum(1) / tip.sum(1), torch.tensor(12.0)))
    assert 30 < angles.max() < 38
    assert -38 < angles.min() < -30


def test_zoom_is_within_its_fraction_and_the_same_both_ways() -> None:
    side = 41
    box = torch.zeros(200, side, side, 3, dtype=torch.uint8)
    box[:, 10:31, 10:31] = 255  # 21 px
    out, _ = run(box, AugmentConfig(zoom=0.2))
    widths = out[:, 20, :, 0].float().sum(1) / 255
    heights = out[:, :, 20, 0].float().sum(1) / 255
    assert torch.allclose(widths, heights, atol=0.1)
    assert 16.5 < widths.min() < 18
    assert 24 < widths.max() < 25.5


def test_brightness_multiplies_and_saturates() -> None:
    images = torch.full((500, 4, 4, 3), 100, dtype=torch.uint8)
    images[:, 0] = 250
    out, _ = run(images, AugmentConfig(brightness=0.2))
    grey = out[:, 1, 0, 0]
    assert 80 <= grey.min() <= 82
    assert 118 <= grey.max() <= 120
    assert out[:, 0].max() == 255


def test_contrast_leaves_the_mean_grey() -> None:
    images = torch.full((500, 4, 4, 3), 50, dtype=torch.uint8)
    images[:, :2] = 150
    out, _ = run(images, AugmentConfig(contrast=0.5))
    spread = out[:, 0, 0, 0].float() - out[:, 3, 0, 0].float()
    assert 50 <= spread.min() < 53
    assert 147 < spread.max() <= 150
    assert (out.float().mean((1, 2, 3)) - 100).abs().max() <= 0.5


def test_cutout_fills_a_square_with_the_mean_and_clips_at_the_border() -> None:
    images = torch.zeros(500, 8, 8, 3, dtype=torch.uint8)
    images[:, ::2] = 200  # mean 100, which no pixel has
    out, _ = run(images, AugmentConfig(cutout=3))
    erased = (out == 100).all(3)
    assert torch.equal(out[~erased], images[~erased])
    heights = erased.any(2).sum(1)
    widths = erased.any(1).sum(1)
    assert torch.equal(erased.sum((1, 2)), heights * widths), "each is one rectangle"
    assert set(heights.tolist()) == set(widths.tolist()) == {2, 3}
    # Clipped where the centre lies on a border row: 2 of 8.
    assert (heights == 2).float().mean().item() == pytest.approx(2 / 8, abs=0.06)


def test_cutout_of_twice_the_side_leaves_only_the_mean() -> None:
    images = torch.zeros(50, 8, 8, 3, dtype=torch.uint8)
    images[:, ::2] = 200
    assert torch.equal(run(images, AugmentConfig(cutout=16))[0], torch.full_like(images, 100))


def flat(n: int) -> Tensor:
    """n images, each of one colour of its own."""
    return torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1).expand(n, 10, 10, 3).contiguous()


def test_mixup_blends_pixels_and_targets_by_the_same_lambda() -> None:
    # Colour and class say the same thing: 0 is class 0, 250 is class 1.
    images = flat(200) % 2 * 250
    out, targets = run(images, AugmentConfig(mixup=1.0), classes=2)
    assert (targets.dtype, targets.shape) == (torch.float32, (200, 2))
    torch.testing.assert_close(targets.sum(1), torch.ones(200))
    torch.testing.assert_close(out[:, 0, 0, 0].float(), targets[:, 1] * 250, atol=0.51, rtol=0)
    blended = (targets.max(1).values < 1).sum()
    assert 70 < blended < 130, "about half of the images meet a partner of the other class"
    assert len(targets[:, 0].unique()) > 50, "each image has its own lambda"


def test_cutmix_target_is_the_share_of_pixels() -> None:
    images = flat(200)
    out, targets = run(images, AugmentConfig(cutmix=1.0), classes=200)
    for i, (image, target) in enumerate(zip(out[..., 0], targets, strict=True)):
        colours, counts = image.unique(return_counts=True)
        expected = torch.zeros(200)
        expected[colours.long()] = counts / 100
        torch.testing.assert_close(target, expected)
        pasted = image != i
        height, width = pasted.any(1).sum(), pasted.any(0).sum()
        assert pasted.sum() == height * width, "the partner's part is one rectangle"


def test_both_mixes_on_share_the_images_fairly() -> None:
    images = flat(200)
    out, targets = run(images, AugmentConfig(mixup=1.0, cutmix=1.0), classes=200)
    torch.testing.assert_close(targets.sum(1), torch.ones(200))
    cut = (out.flatten(1).max(1).values != out.flatten(1).min(1).values).sum()
    assert 60 < cut < 120, "half of them, less those whose square is empty or everything"


def test_large_alpha_mixes_evenly_and_small_alpha_hardly() -> None:
    images = flat(200)
    even = run(images, AugmentConfig(mixup=10.0), classes=200)[1].max(1).values.median()
    hardly = run(images, AugmentConfig(mixup=0.01), classes=200)[1].max(1).values.median()
    assert even < 0.7
    assert hardly > 0.99


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 4.0])
def test_lambda_has_the_moments_of_the_beta_distribution(alpha: float) -> None:
    n = 2000
    _, targets = run(noise(n, 2), AugmentConfig(mixup=alpha), classes=n)
    own = targets.diagonal()
    # By hand: Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)).
    assert own.mean().item() == pytest.approx(0.5, abs=0.04)
    assert own.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)

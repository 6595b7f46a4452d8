"""The operations against torchvision's, and what TrivialAugment and AugMix make of them."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tv

from clearsight.data.policies import (
    AUGMIX,
    TRIVIAL,
    apply_operation,
    augmix,
    trivial_augment,
)


@pytest.fixture(scope="module")
def photos() -> torch.Tensor:
    """Four smooth pictures of low contrast, uint8 [4, 32, 32, 3]."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 200, (4, 5, 5, 3), dtype=np.uint8)
    large = [Image.fromarray(c).resize((32, 32), Image.Resampling.BICUBIC) for c in coarse]
    return torch.from_numpy(np.stack([np.asarray(image) for image in large]))


def apart(found: torch.Tensor, expected: torch.Tensor) -> int:
    """The largest difference to torchvision's image [N, 3, H, W]."""
    return int((found.permute(0, 3, 1, 2).int() - expected.int()).abs().max())


@pytest.mark.parametrize(
    ("name", "magnitude", "expected"),
    [
        ("identity", 0.0, lambda x: x),
        ("brightness", 1.6, lambda x: tv.adjust_brightness(x, 1.6)),
        ("colour", 0.3, lambda x: tv.adjust_saturation(x, 0.3)),
        ("contrast", 1.7, lambda x: tv.adjust_contrast(x, 1.7)),
        ("sharpness", 0.1, lambda x: tv.adjust_sharpness(x, 0.1)),
        ("posterize", 4.0, lambda x: tv.posterize(x, 4)),
        ("solarize", 120.0, lambda x: tv.solarize(x, 120)),
        ("autocontrast", 0.0, tv.autocontrast),
        ("equalize", 0.0, tv.equalize),
    ],
)
def test_colours_are_torchvisions(name, magnitude, expected, photos: torch.Tensor) -> None:
    found = apply_operation(photos, name, torch.full((4,), magnitude))
    assert found.dtype == torch.uint8
    assert apart(found, expected(photos.permute(0, 3, 1, 2))) <= 2


@pytest.mark.parametrize(
    ("name", "magnitude", "settings"),
    [
        ("rotate", 30.0, {"angle": -30.0}),  # torchvision's positive angles are clockwise
        ("translate_x", 5.0, {"translate": [5, 0]}),
        ("translate_y", -3.0, {"translate": [0, -3]}),
        ("shear_x", 0.3, {"shear": [-np.degrees(np.arctan(0.3)), 0.0]}),
        ("shear_y", 0.3, {"shear": [0.0, -np.degrees(np.arctan(0.3))]}),
    ],
)
def test_warps_are_torchvisions_inside(name, magnitude, settings, photos: torch.Tensor) -> None:
    found = apply_operation(photos, name, torch.full((4,), magnitude))
    words = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]} | settings
    expected = tv.affine(
        photos.permute(0, 3, 1, 2), interpolation=InterpolationMode.BILINEAR, **words
    )
    inside = slice(8, 24)  # torchvision fills what comes into view with black
    assert apart(found[:, inside, inside], expected[:, :, inside, inside]) <= 2


def test_a_flat_image_survives_every_operation() -> None:
    flat = torch.full((1, 8, 8, 3), 77, dtype=torch.uint8)
    for name in ("autocontrast", "equalize", "contrast", "sharpness", "rotate"):
        assert torch.equal(apply_operation(flat, name, torch.tensor([1.5])), flat), name


@pytest.mark.parametrize("policy", [trivial_augment, augmix])
def test_a_policy_repeats_by_its_generator_and_keeps_the_images(policy, photos) -> None:
    many, before = photos.repeat(20, 1, 1, 1), photos.clone()
    first, second = (policy(many, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(photos, before)
    assert first.shape == many.shape
    assert first.dtype == torch.uint8
    # Copies of one image are drawn anew each.
    assert len({image.numpy().tobytes() for image in first[::4]}) > 12


def test_augmix_leaves_out_what_is_close_to_the_corruptions() -> None:
    left_out = {*TRIVIAL} - {*AUGMIX}
    assert left_out == {"identity", "brightness", "colour", "contrast", "sharpness"}


def test_augmix_changes_less_than_trivial_augment(photos: torch.Tensor) -> None:
    many = photos.repeat(50, 1, 1, 1)
    change = [
        (policy(many, torch.Generator().manual_seed(0)).float() - many).abs().mean()
        for policy in (augmix, trivial_augment)
    ]
    assert 0 < change[0] < change[1]

"""Blur and noise of a batch, and the shares of the images that get them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from clearsight.config.schema import AugmentConfig
from clearsight.data import degradations
from clearsight.data.augment import augment
from clearsight.data.degradations import NOISE, blur, noise


def test_blur_is_scipys_gaussian_within(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(256, (2, 32, 32, 3), generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(degradations, "uniform", lambda low, high, n, *_: torch.full((n,), 0.9))
    found = blur(images.byte(), torch.Generator())
    expected = gaussian_filter(images.numpy().astype(float), (0, 0.9, 0.9, 0), truncate=8)
    inside = np.abs(found.numpy() - expected)[:, 5:-5, 5:-5]
    assert inside.max() <= 0.51


def test_blur_keeps_one_colour_and_reduces_contrast() -> None:
    flat = torch.full((3, 24, 24, 3), 200, dtype=torch.uint8)
    assert torch.equal(blur(flat, torch.Generator().manual_seed(0)), flat)
    rough = torch.randint(256, (50, 24, 24, 3), generator=torch.Generator().manual_seed(0)).byte()
    assert blur(rough, torch.Generator().manual_seed(0)).float().std() < 0.9 * rough.float().std()


def test_noise_is_as_strong_as_it_says_and_each_image_has_its_own() -> None:
    grey = torch.full((400, 16, 16, 3), 128, dtype=torch.uint8)
    spread = (noise(grey, torch.Generator().manual_seed(0)).float() - 128).flatten(1).std(1) / 255
    assert spread.max() == pytest.approx(NOISE, rel=0.08)
    assert spread.mean() == pytest.approx(NOISE / 2, rel=0.08)


@pytest.mark.parametrize("name", ["trivial", "augmix", "blur", "noise", "jpeg"])
def test_a_share_of_the_images_is_changed(name: str) -> None:
    images = torch.randint(256, (400, 16, 16, 3), generator=torch.Generator().manual_seed(0))
    images = images.byte()
    before = images.clone()

    def changed(share: float) -> float:
        found, _ = augment(
            images,
            torch.zeros(400, dtype=torch.int64),
            config=replace(AugmentConfig(), **{name: share}),
            epoch=0,
            indices=torch.arange(400),
            generator=torch.Generator().manual_seed(0),
            classes=2,
        )
        assert torch.equal(images, before)
        return (found != images).flatten(1).any(1).float().mean().item()

    assert changed(0) == 0
    # TrivialAugment's identity changes nothing, nor does a blur of a fraction of a pixel.
    all_, some = changed(1), changed(0.3)
    assert all_ > (0.75 if name in ("trivial", "blur") else 0.95)
    assert some == pytest.approx(0.3 * all_, abs=0.06)


def test_a_batch_of_which_no_image_is_drawn_passes() -> None:
    image = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    config = AugmentConfig(trivial=1e-9, augmix=1e-9, blur=1e-9, noise=1e-9, jpeg=1e-9)
    found, _ = augment(
        image, torch.zeros(1, dtype=torch.int64), config=config, epoch=0,
        indices=torch.arange(1), generator=torch.Generator().manual_seed(0), classes=2,
    )  # fmt: skip
    assert torch.equal(found, image)

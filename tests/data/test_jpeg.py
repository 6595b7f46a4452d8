"""JPEG's loss, against the real thing."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from clearsight.data.jpeg import jpeg_round_trip


def photo(height: int, width: int) -> np.ndarray:
    """Smooth colours with some texture, uint8 [H, W, 3]."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), float)
    return (smooth + rng.normal(0, 8, smooth.shape)).clip(0, 255).astype(np.uint8)


def by_pillow(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(file)).astype(int)


@pytest.mark.parametrize("quality", [95, 75, 50, 25, 10])
@pytest.mark.parametrize("size", [(32, 32), (24, 24), (13, 45)])
def test_it_loses_what_libjpeg_loses(size: tuple[int, int], quality: int) -> None:
    pixels = photo(*size)
    expected = by_pillow(pixels, quality)
    found = jpeg_round_trip(torch.from_numpy(pixels)[None], torch.tensor([quality]))[0].numpy()
    lost, apart = np.abs(expected - pixels).mean(), np.abs(expected - found).mean()
    assert apart < 0.25 * lost


def test_each_image_has_its_own_quality() -> None:
    pixels = torch.from_numpy(photo(32, 32)).expand(2, -1, -1, -1)
    both = jpeg_round_trip(pixels, torch.tensor([90, 10]))
    for k, quality in enumerate((90, 10)):
        alone = jpeg_round_trip(pixels[:1], torch.tensor([quality]))
        assert torch.equal(both[k], alone[0])


def test_one_colour_stays_itself() -> None:
    grey = torch.full((1, 16, 16, 3), 128, dtype=torch.uint8)
    assert torch.equal(jpeg_round_trip(grey, torch.tensor([1])), grey)

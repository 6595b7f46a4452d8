"""JPEG's loss for a batch of images on its device: no file is written, and no bits are counted.

What a JPEG file loses happens in its colour transform, its halved chroma and the rounding of its
coefficients; the coding after that is exact, so it is left out.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# ITU-T T.81, tables K.1 and K.2: what libjpeg scales by the quality.
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8 for _ in range(4)),
)
# JFIF 1.02: Y, Cb and Cr of R, G and B.
YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def jpeg_round_trip(images: Tensor, quality: Tensor) -> Tensor:
    """The images as they come back from baseline JPEG files with chroma subsampled 4:2:0.

    `images`: uint8 [N, H, W, 3]; `quality`: float or int [N] from 1 to 100, as libjpeg scales its
    tables. Returns uint8 [N, H, W, 3]. A pixel differs from what libjpeg gives by about one level
    in the mean, for libjpeg rounds in between.
    """
    height, width = images.shape[1:3]
    to_ycbcr = torch.tensor(YCBCR, device=images.device)
    x = (images.to(torch.float32) @ to_ycbcr.T).permute(0, 3, 1, 2)
    # Edges are repeated up to whole blocks, of 16 px for what is subsampled.
    down, right = -height % 16, -width % 16
    if down or right:
        x = F.pad(x, (0, right, 0, down), mode="replicate")
    luma = _quantised(x[:, :1] - 128, LUMINANCE, quality)
    chroma = _quantised(F.avg_pool2d(x[:, 1:], 2), CHROMINANCE, quality)
    # The triangle filter of libjpeg's "fancy upsampling".
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    x = torch.cat([luma + 128, chroma], 1)[..., :height, :width]
    rgb = x.permute(0, 2, 3, 1) @ torch.linalg.inv(to_ycbcr).T
    return rgb.round().clamp(0, 255).to(torch.uint8).contiguous()


def _quantised(planes: Tensor, table: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """Planes float32 [N, C, H, W] after their blocks' coefficients were rounded."""
    height, width = planes.shape[2:]
    quality = quality.to(planes.device, torch.float32)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    steps = (torch.tensor(table, device=planes.device) * scale + 50).div(100).floor().clamp(1, 255)
    steps = steps.repeat(1, height // 8, width // 8)[:, None]
    # All blocks at once: a block-diagonal matrix transforms the columns, another one the rows.
    block = _dct(planes.device)
    rows = torch.block_diag(*[block] * (height // 8))
    columns = torch.block_diag(*[block] * (width // 8))
    coefficients = rows @ planes @ columns.T
    return rows.T @ ((coefficients / steps).round() * steps) @ columns


def _dct(device: torch.device) -> Tensor:
    """The orthonormal DCT-II of 8 values, float32 [8, 8]."""
    k = torch.arange(8, dtype=torch.float64)
    matrix = torch.cos(math.pi / 8 * k[:, None] * (k + 0.5)) / 2
    matrix[0] /= math.sqrt(2)
    return matrix.to(device, torch.float32)

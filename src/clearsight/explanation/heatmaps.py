"""Evidence as it is drawn."""

import torch
from torch import Tensor


def heatmaps(evidence: Tensor) -> Tensor:
    """float [N, H, W] → float32 of the same shape, 0–1, to be drawn: what speaks for the class.

    Evidence against it is 0, and the rest is stretched per image; without contrast all is 0.
    """
    maps = evidence.float().relu()
    maps = maps - maps.amin((1, 2), keepdim=True)
    peaks = maps.amax((1, 2), keepdim=True)
    return torch.where(peaks > 0, maps / peaks, 0.0)


def pixel_ranks(maps: Tensor) -> Tensor:
    """float [N, H, W] → int64 of the same shape: 0 for a map's least pixel, H · W - 1 for its best.

    Equal values are ranked in a random order, the same for all maps: not row by row, which would
    be a pattern of its own.
    """
    flat = maps.flatten(1)
    generator = torch.Generator().manual_seed(0)
    shuffled = torch.randperm(flat.shape[1], generator=generator).to(maps.device)
    order = shuffled[torch.argsort(flat[:, shuffled], dim=1, stable=True)]
    places = torch.arange(flat.shape[1], device=maps.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).view(maps.shape)

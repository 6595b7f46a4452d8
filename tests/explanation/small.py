"""A small network and images for the tests of explanations."""

import torch
from torch import nn

from clearsight.models.classifier import Classifier
from clearsight.models.preprocess import Preprocess

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


class Flat(nn.Module):
    """Maps → features, by mean, with dropout, so that the mode matters."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(x.mean((2, 3)))


def small_model(seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    backbone = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1),
        nn.ReLU(inplace=True),
        Flat(),
    )
    return Classifier(
        name="small",
        preprocess=Preprocess(MEAN, STD),
        backbone=backbone,
        head=nn.Linear(12, 4),
        classes=("a", "b", "c", "d"),
    )


def random_images(n: int, size: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, size, size, 3), dtype=torch.uint8, generator=generator)


class ChannelsFirst(nn.Module):
    """The model for images [N, 3, H, W], whose last two dimensions the oracle takes as the side."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images.permute(0, 2, 3, 1))

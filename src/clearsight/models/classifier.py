"""`Classifier`: preprocess ▸ backbone ▸ head, from raw uint8 pixels to logits."""

import torch
from torch import Tensor, nn

from clearsight.models.preprocess import Preprocess


class Classifier(nn.Module):
    """uint8 images [N, H, W, 3] → logits float [N, K].

    `backbone` maps normalised images [N, 3, S, S] to features [N, D]; `head` maps those to logits.
    `classes` are the K names in the order of the logits; `name` is the registry's.
    """

    def __init__(
        self,
        *,
        name: str,
        preprocess: Preprocess,
        backbone: nn.Module,
        head: nn.Module,
        classes: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.name = name
        self.classes = classes
        self.preprocess = preprocess
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(self.preprocess(images)))

    @torch.no_grad()
    def prepare(self, images: Tensor) -> None:
        """Lets a backbone initialise itself from training images (uint8 [N, H, W, 3])."""
        prepare = getattr(self.backbone, "prepare", None)
        if prepare is not None:
            prepare(self.preprocess(images))

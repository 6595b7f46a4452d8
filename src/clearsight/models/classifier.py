"""`Classifier`: preprocess ▸ backbone ▸ head, from raw uint8 pixels to logits."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clearsight.models.preprocess import Expectation, Preprocess

# By so much, in nats, another class stays below the likeliest, however close their logits are.
# Less would be lost in float32: exp(-2 ** -22) is four steps below 1.
LEAD = 2.0**-22


class Outputs(NamedTuple):
    """What a classifier says of N images.

    `probabilities`: float32 [N, K], calibrated; `features`: float32 [N, D], what the head is given;
    `unlike`: float32 [N], see `unlike`.
    """

    probabilities: Tensor
    features: Tensor
    unlike: Tensor


class Classifier(nn.Module):
    """uint8 images [N, H, W, 3] → logits float [N, K].

    `backbone` maps normalised images [N, 3, S, S] to features [N, D]; `head` maps those to logits.
    `classes` are the K names in the order of the logits; `name` and `head_kind` are what `build`
    was asked for; `origin` says where pretrained weights are from: source, licence, sha256.
    `expects` is what the weights training started from expect of images, told apart from what
    `preprocess` does so that the pre-flight check can compare the two; None after a rebuild.
    `known` are the classes of which the head had learnt something when training started.
    `temperature` is what calibration divides the logits by; 1 where nothing was calibrated.
    """

    def __init__(
        self,
        *,
        name: str,
        preprocess: Preprocess,
        backbone: nn.Module,
        head: nn.Module,
        classes: tuple[str, ...],
        head_kind: str = "linear",
    ) -> None:
        super().__init__()
        self.name = name
        self.head_kind = head_kind
        self.classes = classes
        self.origin: Mapping[str, str] | None = None
        self.expects: Expectation | None = None
        self.known: tuple[str, ...] = ()
        self.temperature = 1.0
        self.preprocess = preprocess
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(self.preprocess(images)))

    def probabilities(self, images: Tensor) -> Tensor:
        """uint8 images [N, H, W, 3] → calibrated probabilities float32 [N, K]."""
        return self.outputs(images).probabilities

    def outputs(self, images: Tensor) -> Outputs:
        """All that a bundle tells of uint8 images [N, H, W, 3]."""
        features = self.backbone(self.preprocess(images))
        logits = self.head(features).float()
        return Outputs(calibrated(logits, self.temperature), features.float(), unlike(logits))

    def describe(self) -> dict[str, object]:
        """What `registry.rebuild` needs, and where the weights it started from are from."""
        return {
            "model": self.name,
            "head": self.head_kind,
            "classes": list(self.classes),
            "preprocess": self.preprocess.describe(),
            "weights": None if self.origin is None else dict(self.origin),
        }

    @torch.no_grad()
    def prepare(self, images: Tensor) -> None:
        """Lets a backbone initialise itself from training images (uint8 [N, H, W, 3])."""
        prepare = getattr(self.backbone, "prepare", None)
        if prepare is not None:
            prepare(self.preprocess(images))


def calibrated(logits: Tensor, temperature: float) -> Tensor:
    """The softmax of logits float [N, K] divided by `temperature`.

    The class with the largest logit has the largest probability at any temperature, and alone,
    although float32 would round classes that nearly tie to the same number.
    """
    top = logits.amax(1, keepdim=True)
    below = (logits - top) / temperature
    return torch.where(logits == top, below, below.clamp(max=-LEAD)).softmax(1)


def unlike(logits: Tensor) -> Tensor:
    """How unlike its training images the classifier finds images, float [N]: larger is less like.

    The largest of the logits [N, K], before any calibration, with its sign turned: D. Hendrycks
    et al., "Scaling out-of-distribution detection for real-world settings", 2022
    (arXiv:1911.11132). It needs nothing but the logits. benchmarks/unlike.py compares it with
    others. It is no guarantee: docs/trust.md says how much it misses.
    """
    return -logits.amax(1)

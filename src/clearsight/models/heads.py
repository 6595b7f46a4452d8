"""Heads: features [N, D] → logits [N, K], for backbones that bring none of their own."""

from torch import nn

from clearsight.models.resnet import linear_head

DROPOUT, WIDTH = 0.3, 256


def mlp_head(features: int, classes: int) -> nn.Sequential:
    """Dropout 0.3 ▸ dense 256 ▸ ReLU ▸ dropout 0.3 ▸ dense: the head of the course project."""
    hidden = nn.Linear(features, WIDTH)
    nn.init.kaiming_normal_(hidden.weight, nonlinearity="relu")
    nn.init.zeros_(hidden.bias)
    return nn.Sequential(
        nn.Dropout(DROPOUT), hidden, nn.ReLU(), nn.Dropout(DROPOUT), linear_head(WIDTH, classes)
    )


HEADS = {"linear": linear_head, "mlp": mlp_head}

"""What to say before training that is no reason to stop it."""

from clearsight.models.classifier import Classifier

FEW_IMAGES = 500


def few_images(model: Classifier, n: int) -> str | None:
    """A sentence where `n` training images are too few for a network with random weights."""
    if model.origin is not None or n >= FEW_IMAGES:
        return None
    return (
        f"{n:,} training images are few for {model.name}, whose weights start at random: it may "
        "stay near chance; `clearsight train transfer` starts from a pretrained network"
    )

"""Advice before training."""

from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from clearsight.training.advice import few_images


def test_few_images_for_random_weights_get_advice_and_pretrained_ones_none() -> None:
    model = build("resnet20", ("cat", "dog"), Preprocess((0.5,) * 3, (0.25,) * 3))
    said = few_images(model, 48)
    assert said is not None
    assert said.startswith("48 training images are few for resnet20")
    assert "`clearsight train transfer`" in said
    assert few_images(model, 500) is None
    model.origin = {"source": "somewhere"}
    assert few_images(model, 48) is None

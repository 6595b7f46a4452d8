"""Integrated gradients against Captum and by their sum; focused gradients on any model."""

import pytest
import torch
from captum.attr import IntegratedGradients

from clearsight.explanation.gradients import focused_gradients, integrated_gradients
from clearsight.explanation.references import REFERENCES, blurred, mean_colour
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from tests.explanation.small import MEAN, STD, random_images, small_model


@pytest.mark.parametrize("reference", REFERENCES)
def test_integrated_gradients_agree_with_captum(reference: str) -> None:
    model, images = small_model().eval(), random_images(3)
    targets, start = torch.tensor([0, 3, 1]), REFERENCES[reference](images)
    found = integrated_gradients(model, images, targets, steps=8, reference=start)
    expected = IntegratedGradients(model).attribute(
        images.float(), start, target=targets, n_steps=8, method="riemann_middle"
    )
    torch.testing.assert_close(found, expected.sum(3).float(), atol=1e-4, rtol=1e-4)


def test_integrated_gradients_sum_to_the_difference_of_logits() -> None:
    model, images, targets = small_model().eval(), random_images(2), torch.tensor([2, 0])
    found = integrated_gradients(model, images, targets, steps=200)
    with torch.no_grad():
        logits, start = model(images), model(blurred(images))
    expected = (logits - start).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(found.sum((1, 2)), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("name", "size"), [("resnet20", None), ("vit_tiny_patch16_224", 32)])
def test_focused_gradients_explain_models_with_and_without_a_layer_for_maps(
    name: str, size: int | None
) -> None:
    torch.manual_seed(0)
    model = build(name, ("a", "b", "c"), Preprocess(MEAN, STD, size)).eval()
    images, targets = random_images(2, 32), torch.tensor([0, 2])
    together = focused_gradients(model, images, targets)
    assert together.shape == (2, 32, 32)
    assert together.min() >= 0
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.inference_mode():
        alone = focused_gradients(model, images[1:], targets[1:])
    torch.testing.assert_close(together[1:], alone, atol=1e-3, rtol=1e-3)


def test_references_keep_a_flat_image_as_it_is() -> None:
    flat = torch.full((1, 12, 9, 3), 100, dtype=torch.uint8)
    for refer in REFERENCES.values():
        torch.testing.assert_close(refer(flat), flat.float(), atol=1e-3, rtol=0)
    image = torch.tensor([[[[0, 10, 20], [100, 30, 40]]]], dtype=torch.uint8)
    assert mean_colour(image)[0, 0, 0].tolist() == [50, 20, 30]

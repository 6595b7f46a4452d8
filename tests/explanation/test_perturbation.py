"""Occlusion and RISE: by hand, against Captum, the same for each image alone."""

import pytest
import torch
from captum.attr import Occlusion
from torch import nn

from clearsight.explanation.perturbation import occlusion, random_masks, rise
from tests.explanation.small import random_images, small_model


class Corner(nn.Module):
    """Two classes: the logit of class 0 is the red of the pixel in the corner, in parts of 255."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1 / 255))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        red = images[:, 0, 0, 0].float() * self.scale
        return torch.stack([red, torch.zeros_like(red)], 1)


def test_occlusion_of_a_model_of_one_pixel_is_as_computed_by_hand() -> None:
    image = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    image[0, 0, 0, 0] = 255
    black = torch.zeros(1, 4, 4, 3)
    # The windows of 2 px at every 2 px: only the first covers the corner. There the probability
    # falls from 1 / (1 + e⁻¹) to 1/2.
    found = occlusion(Corner(), image, torch.tensor([0]), window=2, stride=2, reference=black)
    expected = torch.zeros(1, 4, 4)
    expected[0, :2, :2] = torch.sigmoid(torch.tensor(1.0)) - 0.5
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("window", "stride"), [(4, 2), (5, 3), (6, 6)])
def test_occlusion_agrees_with_captum(window: int, stride: int) -> None:
    model, images = small_model().eval(), random_images(3)
    targets = torch.tensor([0, 3, 1])
    black = torch.zeros(images.shape)
    found = occlusion(model, images, targets, window=window, stride=stride, reference=black)
    expected = Occlusion(lambda x: model(x).softmax(1)).attribute(
        images.float(), (window, window, 3), (stride, stride, 3), target=targets
    )
    torch.testing.assert_close(found, expected[..., 0].float(), atol=1e-4, rtol=0)


def test_rise_finds_the_pixel_that_counts_and_is_repeatable_by_its_seed() -> None:
    image = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    image[0, 0, 0, 0] = 255
    black = torch.zeros(1, 8, 8, 3)
    found, again, other = (
        rise(Corner(), image, torch.tensor([0]), masks=100, cells=4, seed=s, reference=black)
        for s in (0, 0, 1)
    )
    assert found.flatten().argmax() == 0
    assert torch.equal(found, again)
    assert not torch.equal(found, other)


def test_masks_come_with_their_complements() -> None:
    masks = random_masks(20, 4, (10, 14), seed=0)
    assert masks.shape == (20, 10, 14)
    assert ((masks >= 0) & (masks <= 1)).all()
    torch.testing.assert_close(masks[:10] + masks[10:], torch.ones(10, 10, 14))


def test_each_image_is_explained_by_itself() -> None:
    model, images, targets = small_model(), random_images(3), torch.tensor([0, 1, 2])
    for method in (occlusion, rise):
        together = method(model, images, targets)
        alone = method(model, images[1:2], targets[1:2])
        torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-4)

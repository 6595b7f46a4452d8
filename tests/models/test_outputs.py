"""What a classifier says of images besides their class: features, and how unlike they are."""

import pytest
import torch

from clearsight.models.classifier import unlike
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess


def test_unlike_is_the_largest_logit_with_its_sign_turned() -> None:
    assert unlike(torch.tensor([[1.0, 3.5, -2.0], [-4.0, -1.0, -6.0]])).tolist() == [-3.5, 1.0]


def test_stronger_evidence_for_any_class_is_less_unlike() -> None:
    weak, strong = unlike(torch.tensor([[1.0, 0.0, 0.0], [0.0, 4.0, 0.0]]))
    assert strong < weak


def test_an_image_that_is_nan_to_the_network_passes_for_nothing() -> None:
    assert unlike(torch.tensor([[float("nan"), 1.0]])).isnan().all()


@pytest.mark.parametrize("name", ["airnet-tiny", "resnet20", "tf_efficientnet_lite0"])
def test_features_are_what_the_head_is_given(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, ("a", "b", "c"), Preprocess((0.5,) * 3, (0.25,) * 3)).eval()
    model.temperature = 0.5
    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        logits, found = model(images), model.outputs(images)
        torch.testing.assert_close(model.head(found.features), logits)
    torch.testing.assert_close(found.probabilities, (2 * logits).softmax(1))
    # Not of the calibrated logits.
    torch.testing.assert_close(found.unlike, -logits.max(1).values)
    assert {tensor.dtype for tensor in found} == {torch.float32}
    assert found.features.ndim == 2

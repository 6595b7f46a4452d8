"""The layer that is explained: the last with a map large enough that the logits use."""

import pytest

from clearsight.errors import UsageError
from clearsight.explanation.layers import choose_layer, stage_layers
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from tests.explanation.small import MEAN, STD, small_model


def test_a_grid_of_tokens_that_is_too_small_is_refused_and_not_replaced_by_the_stem() -> None:
    model = build("vit_tiny_patch16_224", ("a", "b"), Preprocess(MEAN, STD, 32))
    with pytest.raises(UsageError, match="no layer of the model gives a map of at least 4 × 4"):
        choose_layer(model, (32, 32, 3))


def test_the_layer_chosen_is_the_last_executed_with_a_large_enough_map() -> None:
    # airnet's last group pools 7 × 7 to 3 × 3: the group before it is the last whole block.
    model = build("airnet94", ("a", "b"), Preprocess(MEAN, STD))
    assert choose_layer(model, (32, 32, 3)) == "backbone.groups.1"
    assert choose_layer(small_model(), (16, 16, 3)) == "backbone.5"
    assert choose_layer(small_model(), (6, 6, 3)) == "backbone.2"


def test_where_several_modules_give_the_same_map_the_outermost_is_named() -> None:
    model = build("resnet20", ("a", "b"), Preprocess(MEAN, STD))
    assert choose_layer(model, (32, 32, 3)) == "backbone.stages"


def test_images_too_small_for_any_map_are_refused() -> None:
    with pytest.raises(UsageError, match="no layer of the model gives a map of at least 4 × 4"):
        choose_layer(small_model(), (3, 3, 3))


def test_a_layer_for_each_size_of_map_the_finest_first() -> None:
    model = build("airnet94", ("a", "b"), Preprocess(MEAN, STD))
    # 15 × 15 and 7 × 7; the last group's 3 × 3 is too small.
    assert stage_layers(model, (32, 32, 3)) == ["backbone.groups.0", "backbone.groups.1"]
    model = build("resnet20", ("a", "b"), Preprocess(MEAN, STD))
    found = [(name.rpartition(".")[2]) for name in stage_layers(model, (32, 32, 3))]
    assert found == ["0", "1", "stages"]


def test_a_transformer_whose_maps_have_one_size_has_one_layer() -> None:
    model = build("vit_tiny_patch16_224", ("a", "b"), Preprocess(MEAN, STD, 80))
    layers = stage_layers(model, (32, 32, 3))
    assert layers == [choose_layer(model, (32, 32, 3))]

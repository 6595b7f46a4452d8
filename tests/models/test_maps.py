"""Maps are found in every layout, by their proportions, and nothing else is taken for one."""

import pytest
import torch
from torch import Tensor, nn

from clearsight.models.maps import as_maps

SQUARE = (64, 64)
PLAIN = nn.Identity()


def numbered(*shape: int) -> Tensor:
    return torch.arange(float(torch.tensor(shape).prod())).view(shape)


def test_channels_first_are_taken_as_they_are() -> None:
    x = numbered(2, 5, 4, 4)
    assert as_maps(PLAIN, x, SQUARE, None) is x


def test_channels_last_are_turned() -> None:
    maps = as_maps(PLAIN, numbered(2, 4, 4, 5), SQUARE, None)
    assert maps is not None
    assert maps.shape == (2, 5, 4, 4)
    # [n, row, column, channel]: place 1 · 80 + 2 · 20 + 3 · 5 + 4
    assert maps[1, 4, 2, 3] == 139


@pytest.mark.parametrize("skipped", [0, 1, 2])
@pytest.mark.parametrize("stated", [True, False])
def test_tokens_become_a_grid_row_by_row_without_those_that_are_no_patches(
    skipped: int, stated: bool
) -> None:
    tokens = numbered(1, skipped + 16, 3)
    maps = as_maps(PLAIN, tokens, SQUARE, skipped if stated else None)
    assert maps is not None
    assert maps.shape == (1, 3, 4, 4)
    assert maps[0, 2, 1, 3] == tokens[0, skipped + 7, 2]


def test_register_tokens_are_skipped_where_the_network_states_them() -> None:
    tokens = numbered(1, 5 + 25, 3)
    maps = as_maps(PLAIN, tokens, SQUARE, 5)
    assert maps is not None
    assert maps[0, 0, 0, 0] == tokens[0, 5, 0]
    assert as_maps(PLAIN, tokens, SQUARE, 4) is None


def test_images_that_are_no_squares_have_maps_of_their_proportions() -> None:
    wide = (32, 64)
    for shape in ((2, 5, 4, 8), (2, 4, 8, 5), (2, 32, 5)):
        maps = as_maps(PLAIN, numbered(*shape), wide, None)
        assert maps is not None
        assert maps.shape == (2, 5, 4, 8)


@pytest.mark.parametrize(
    "output",
    [
        numbered(2, 5), numbered(2, 5, 4, 3), numbered(2, 7, 3), numbered(2, 2, 3, 4, 4),
        torch.zeros(2, 5, 4, 4, dtype=torch.int64), (numbered(2, 5, 4, 4),), None,
    ],
)  # fmt: skip
def test_other_outputs_are_none(output: object) -> None:
    assert as_maps(PLAIN, output, SQUARE, None) is None


def test_as_many_channels_as_rows_are_told_apart_by_the_layers() -> None:
    x = numbered(1, 4, 4, 4)
    assert as_maps(nn.Conv2d(4, 4, 1), x, SQUARE, None) is x
    assert as_maps(nn.BatchNorm2d(4), x, SQUARE, None) is x
    turned = as_maps(nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4)), x, SQUARE, None)
    assert turned is not None
    assert turned[0, 3, 1, 2] == x[0, 1, 2, 3]

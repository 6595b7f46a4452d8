"""The chart of heatmap methods: a panel per network, a point per method."""

import pytest

from clearsight.errors import UsageError
from tools.docs.explanations import method_panels
from tools.docs.figures.explanations import heatmap_methods

AREAS = {"mean colour": 0.25, "blur": 0.75}


def entry(network: str) -> dict:
    rows = [
        {"name": "centred blob", "insertion": AREAS, "deletion": AREAS},
        {"name": "layer-cam", "insertion": AREAS, "deletion": AREAS, "beats": True},
    ]
    return {"model": network, "n": 500, "split": "test", "rows": rows}


def test_points_are_the_mean_over_references() -> None:
    (panel,) = method_panels({"explanations-a": entry("a"), "other": {}})
    assert panel["points"][1] == {
        "name": "layer cam", "insertion": 0.5, "deletion": 0.5, "beats": True,
    }  # fmt: skip


def test_a_panel_per_network() -> None:
    panels = method_panels({"explanations-a": entry("a"), "explanations-b": entry("b")})
    figure = heatmap_methods(panels, title="")
    assert [axes.get_title("left") for axes in figure.axes] == [
        "a\nn = 500 test images", "b\nn = 500 test images",
    ]  # fmt: skip


def test_an_empty_ledger_is_refused() -> None:
    with pytest.raises(UsageError, match=r"found no explanations-\*\.json"):
        method_panels({})

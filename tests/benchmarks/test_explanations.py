"""The table of heatmap methods."""

from types import ModuleType


def test_a_row_for_each_map_with_what_is_known_of_it(explanations: ModuleType) -> None:
    areas = {"mean colour": 0.5, "blur": 0.25}
    rows = [
        {"name": "random map", "insertion": areas, "deletion": areas},
        {
            "name": "layer-cam", "insertion": areas, "deletion": areas, "beats": True,
            "seconds": 0.01, "randomised": [{"weights": "stem", "similarity": 0.125}],
        },
    ]  # fmt: skip
    table = explanations.tabulated({"rows": rows})
    assert table["rows"] == [
        ["random map", "0.500", "0.250", "0.500", "0.250", "", "", "", ""],
        ["layer cam", "0.500", "0.250", "0.500", "0.250", "yes", "100", "0.12", ""],
    ]
    assert len(table["head"]) == 9

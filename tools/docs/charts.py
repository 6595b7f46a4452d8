"""Pictures drawn from the ledger: `figures/ledger/NAME.png` beside a page, for a name in `CHARTS`.

A picture carries a hash over the numbers it shows and its own pixels, so that one drawn from other
numbers, or by hand, is noticed; and one drawn by another version of the plotting library is not.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import numpy as np
from PIL import Image, PngImagePlugin

from clearsight.errors import UsageError
from clearsight.figures.save import save
from clearsight.files import replacing
from clearsight.ledger import RESULTS, read_entries
from tools.docs.budgets import budget_curves
from tools.docs.explanations import method_panels
from tools.docs.figures.budgets import accuracy_by_budget
from tools.docs.figures.explanations import heatmap_methods
from tools.docs.figures.intervals import paired_intervals
from tools.docs.figures.scaling import growth
from tools.docs.lesson import chart_rows
from tools.docs.markdown import parse_page
from tools.docs.markers import read_page
from tools.docs.scaling import scaling_panels

FOLDER = "ledger"
_KEY = "clearsight"


@dataclass(frozen=True)
class Chart:
    """A picture of the ledger.

    - `data`: the entries by name → what is shown, as plain values
    - `draw`: these → a matplotlib figure
    - `kind`: which entries `data` is given
    """

    data: Callable[[Mapping[str, Any]], Any]
    draw: Callable[[Any], Any]
    kind: str = "runs"

    def shown(self, results: Path) -> Any:
        """What the picture is to show of the ledger in the folder `results`."""
        return self.data(read_entries(results, self.kind))


def _draw_lesson(rows: Sequence[Mapping[str, Any]]) -> Any:
    return paired_intervals(
        rows,
        title="One line, two preprocessings",
        chance=0.1,
        names=("scaled twice", "scaled once"),
    )


def _draw_budget(curves: Sequence[Mapping[str, Any]]) -> Any:
    return accuracy_by_budget(curves, title="What more time buys")


def _draw_scaling(panels: Sequence[Mapping[str, Any]]) -> Any:
    return growth(panels, title="How the cost grows")


def _draw_explanations(panels: Sequence[Mapping[str, Any]]) -> Any:
    return heatmap_methods(panels, title="Which heatmaps show what the network uses")


CHARTS: Mapping[str, Chart] = MappingProxyType(
    {
        "lesson": Chart(chart_rows, _draw_lesson),
        "budget": Chart(budget_curves, _draw_budget),
        "scaling": Chart(scaling_panels, _draw_scaling, kind="scaling"),
        "explanations": Chart(method_panels, _draw_explanations, kind="benchmark"),
    }
)


def draw_charts(paths: Sequence[Path], results: Path = RESULTS) -> list[Path]:
    """Draws the pictures of the ledger that the pages show, where they are due; those changed."""
    changed = []
    for place, chart, _ in _shown(paths):
        data = chart.shown(results)
        if _state(place, data):
            _save(chart.draw(data), place, data)
            changed.append(place)
    return changed


def check_charts(paths: Sequence[Path], results: Path = RESULTS) -> list[str]:
    """A sentence for each picture of the ledger that is not what the ledger says by now."""
    problems = []
    for place, chart, where in _shown(paths):
        state = _state(place, chart.shown(results))
        if state:
            problems.append(f"{where}: figure {place}: {state}; run `python -m tools.docs render`")
    return problems


def _shown(paths: Sequence[Path]) -> Iterator[tuple[Path, Chart, str]]:
    """(file, chart, page and line) of every picture of the ledger in the pages, each file once."""
    seen: set[Path] = set()
    for path in paths:
        for line, target in parse_page(read_page(path)).links:
            place = path.parent / unquote(target)
            if not re.search(rf"(^|/)figures/{FOLDER}/[^/]+\.png$", target) or place in seen:
                continue
            seen.add(place)
            if place.stem not in CHARTS:
                raise UsageError(
                    f"{path}:{line}: figure {target}: there is no such chart of the ledger, "
                    f"expected one of {', '.join(CHARTS)}"
                )
            yield place, CHARTS[place.stem], f"{path}:{line}"


def _state(place: Path, data: Any) -> str:
    """What is wrong with the file; empty where it shows `data`."""
    if not place.is_file():
        return "not drawn yet"
    with Image.open(place) as image:
        recorded = image.info.get(_KEY)
        due = _digest(data, np.asarray(image.convert("RGB")))
    return "" if recorded == due else "it does not show what the ledger says"


def _save(figure: Any, place: Path, data: Any) -> None:
    with replacing(place) as temporary:
        save(figure, temporary)
        with Image.open(temporary) as image:
            pixels = image.convert("RGB")
        about = PngImagePlugin.PngInfo()
        about.add_text(_KEY, _digest(data, np.asarray(pixels)))
        pixels.save(temporary, format="png", pnginfo=about, optimize=True)


def _digest(data: Any, pixels: np.ndarray) -> str:
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode())
    digest.update(pixels.tobytes())
    return digest.hexdigest()

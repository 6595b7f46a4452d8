"""`doubt.html`: the most doubted images on one page, to correct their labels by hand."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from clearsight.evaluation.doubt import Doubts, file_name
from clearsight.evaluation.pages import data_url, template
from clearsight.files import read_json, write_text
from clearsight.runs import Run

THUMBNAIL = 160  # px, the longest side of a picture on the page
LOSSLESS = 64  # px, up to which a PNG is small


def write_page(run: Run, doubts: Doubts, kinds: Mapping[str, str], show: int) -> None:
    """Writes `run.doubt_page` with the first `show` images of which something is known.

    `kinds`: what each part was judged by. The page holds its pictures itself and names no outside
    address. The file that it saves has the corrections of this run as well, so that it can take
    the place of the one the run was trained with. Raises `FileError` where the disk refuses.
    """
    images = doubts.images
    known = np.flatnonzero(doubts.evidence.observations > 0)[:show]
    page = template("doubt.html.jinja").render(
        name=run.path.resolve().name,
        source=images.name,
        total=len(doubts.rows),
        kinds=kinds,
        cards=[_card(doubts, i) for i in known],
        classes=images.classes,
        earlier=_earlier(doubts),
        key=f"clearsight doubt {read_json(run.split)['hash']}",
    )
    write_text(run.doubt_page, page)


def _card(doubts: Doubts, i: int) -> dict[str, Any]:
    images, evidence, position = doubts.images, doubts.evidence, doubts.rows[i]
    return {
        "id": images.ids[position].decode(),
        "file": file_name(images, position),
        "part": str(doubts.parts[i]),
        "given": images.classes[images.labels[position]],
        "source": images.classes[images.uncorrected().labels[position]],
        "suggested": images.classes[evidence.suggested[i]],
        "score": float(evidence.scores[i]),
        "margin": float(evidence.margins[i]),
        "observations": int(evidence.observations[i]),
        "picture": _picture(images.images[position]),
    }


def _earlier(doubts: Doubts) -> list[dict[str, str]]:
    """The corrections that the run was trained with, as rows of the file to save."""
    images = doubts.images
    source = images.uncorrected().labels
    changed = np.flatnonzero((images.labels != source)[doubts.rows])
    return [
        {
            "id": images.ids[position].decode(),
            "file": file_name(images, position),
            "part": str(part),
            "given": images.classes[source[position]],
            "label": images.classes[images.labels[position]],
        }
        for position, part in zip(doubts.rows[changed], doubts.parts[changed], strict=True)
    ]


def _picture(pixels: np.ndarray) -> str:
    image, file = Image.fromarray(pixels), io.BytesIO()
    if max(image.size) <= LOSSLESS:
        kind = "png"
        image.save(file, "PNG")
    else:
        kind = "jpeg"
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        image.save(file, "JPEG", quality=85)
    return data_url(file.getvalue(), kind)

"""Images whose label was corrected, kept as a data set: `labels.csv` and `images/`."""

import hashlib
import threading
from pathlib import Path

from clearsight.files import read_cells, replacing, write_csv

LABELS, IMAGES = "labels.csv", "images"
MOST = 10_000
_one = threading.Lock()


class KeptEnoughError(Exception):
    """The folder has `MOST` images."""


def keep(folder: Path, content: bytes, suffix: str, label: str) -> str:
    """Keeps an image's bytes under its right label; returns its file, relative to `folder`.

    An image that is there already gets the new label. `clearsight train --data FOLDER/labels.csv`
    reads the result. Raises `KeptEnoughError`, and `OSError` or `FileError` of the disk.
    """
    name = f"{IMAGES}/{hashlib.sha256(content).hexdigest()[:32]}{suffix}"
    labels = folder / LABELS
    with _one:
        rows = {row["file"]: row for row in read_cells(labels)} if labels.exists() else {}
        if name not in rows and len(rows) >= MOST:
            raise KeptEnoughError
        (folder / IMAGES).mkdir(parents=True, exist_ok=True)
        with replacing(folder / name) as temporary:
            temporary.write_bytes(content)
        rows[name] = {"file": name, "label": label}
        write_csv(labels, list(rows.values()))
    return name

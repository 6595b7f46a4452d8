"""Images without labels: a folder of photos, to be searched or described, not to train on."""

from pathlib import Path

import numpy as np

from clearsight.data.folders import Listing
from clearsight.data.names import part_of, printable
from clearsight.data.records import Records, Source
from clearsight.data.walking import Kind, Passed, is_own, kind_of, scan, subfolders, walk


def is_unlabelled(folder: Path) -> bool:
    """Whether a folder holds images, but neither in folders of several classes nor of parts.

    Images in one folder below, as `photos/2024/1.jpg`, have no labels; in two or more, the folders
    are their classes.
    """
    if is_own(folder):
        return False
    names = subfolders(folder, "", Passed())
    inside = [name for name in names if any(walk(folder, name, Passed()))]
    if len(inside) > 1 or any(map(part_of, inside)):
        return False
    here = any(kind_of(entry) == Kind.IMAGE for entry in scan(folder))
    return here or (bool(inside) and is_unlabelled(folder / inside[0]))


def unlabelled_source(folder: Path) -> Source:
    """The images in a folder and those below it, by name; the labels are -1, and there are no
    classes. What is left out is noted, as by `folders.folder_source`."""
    passed, listing = Passed(), Listing()
    listing.add("", "", list(walk(folder, "", passed)))
    count = len(listing.files)
    return Source(
        name=printable(folder.resolve().name),
        fingerprint=listing.fingerprint(folder),
        read=lambda: Records(
            images=[folder / file for file in listing.files],
            labels=np.full(count, -1),
            classes=(),
            parts=np.full(count, "", "U10"),
            locate=lambda i: printable(folder / listing.files[i]),
            files=listing.files,
        ),
        notes=passed.notes(),
    )

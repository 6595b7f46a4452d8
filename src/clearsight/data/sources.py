"""Where images come from: names, paths and the search path, all giving one `ImageSet`."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import platformdirs

from clearsight.config.parsing import did_you_mean
from clearsight.config.schema import CacheConfig
from clearsight.data.archives import (
    LAYOUTS,
    Layout,
    archive_source,
    extracted_source,
    is_extracted,
    is_published,
)
from clearsight.data.arrays import digits_source, npz_source
from clearsight.data.cache import OnCorrupt, cached
from clearsight.data.decoding import longest_side
from clearsight.data.download import download as fetch
from clearsight.data.folders import folder_source
from clearsight.data.hub_sets import PREFIX, hub_source
from clearsight.data.idx import idx_folder, idx_source, is_idx
from clearsight.data.images import Fit, ImageSet
from clearsight.data.names import printable
from clearsight.data.packed import SUFFIXES, open_packed
from clearsight.data.parquet import parquet_folder, parquet_source
from clearsight.data.records import Source
from clearsight.data.table_source import open_table, refuse_columns
from clearsight.errors import DataError, DataNotFoundError
from clearsight.notebook import shown
from clearsight.progress import SILENT, Progress

DEFAULT_SIZE = 32
OFFICIAL_URL = "https://www.cs.toronto.edu/~kriz/"


def load_images(
    source: Path | str,
    *,
    size: int | None = None,
    up_to: int | None = None,
    fit: Fit = "letterbox",
    truncated: bool = False,
    cache_disk: float = CacheConfig.disk,
    images: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    data_dir: str | Path | None = None,
    download: bool = True,
    progress: Progress | None = None,
    on_corrupt: OnCorrupt | None = None,
) -> ImageSet:
    """The images of `source`, fitted to `size` px (default 32), decoded once into the user's cache.

    With `up_to` the default is instead what the images have, and that many px at most.

    `source` is one of

    - `cifar10`, `cifar100`: found on the search path, in the user's cache, or downloaded
    - `digits`: bundled with scikit-learn
    - `hf://OWNER/NAME`, `hf://OWNER/NAME@REVISION`: the parquet files of a data set on the Hugging
      Face hub, downloaded into the hub's own cache
    - the path of a parquet or `.npz` file, an IDX file of images, an official CIFAR archive, an
      archive of class folders (`.zip`, `.tar`, `.tar.gz`, `.tar.bz2`, `.tar.xz`), or a folder:
      parquet files, IDX files, an extracted CIFAR archive, or class folders. A relative path is
      also looked for on the search path
    - the path of a table that lists image files: `.csv`, `.tsv`, `.jsonl`, or `.parquet`. The files
      lie in its folder or in `images`; `columns` names those of its columns that are not recognised
      by their names, as `{"label": "breed"}`: `image`, `label`, `split`, `group`, `weight`

    A corrupt image is a `DataError`; with `on_corrupt`, called with its place and the reason, it is
    left out. With `truncated`, a damaged one is used as far as it can be decoded. Decoded images of
    other data sets, the longest unused first, go where the cache would exceed `cache_disk` GiB.

    Raises `DataNotFoundError` where there is no such data, `DataError` where it can't be used.
    """
    progress = shown(progress)
    found = find_source(
        str(source), images=images, columns=columns, data_dir=data_dir, download=download,
        progress=progress,
    )  # fmt: skip
    if size is None:
        size = DEFAULT_SIZE if up_to is None else min(up_to, longest_side(found.read()))
    return cached(
        found, size, fit, truncated=truncated, disk=cache_disk, progress=progress,
        on_corrupt=on_corrupt,
    )  # fmt: skip


def search_path(data_dir: str | Path | None = None) -> list[Path]:
    """The folders where data are looked for, in order.

    `data_dir`, those in `$CLEARSIGHT_DATA`, `./data`, and `data` in the user's cache folder.
    """
    given = [] if data_dir is None else [str(data_dir)]
    listed = os.environ.get("CLEARSIGHT_DATA", "").split(os.pathsep)
    folders = [_expanded(place) for place in (*given, *listed) if place]
    return [*folders, Path("data"), _downloads()]


def find_source(
    source: str,
    *,
    images: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    data_dir: str | Path | None = None,
    download: bool = True,
    progress: Progress = SILENT,
) -> Source:
    """What `load_images` would read, as a `Source`: found, or downloaded, but not read yet."""
    on_hub = source.startswith(PREFIX)
    if source == "digits" or source in LAYOUTS or on_hub:
        refuse_columns(source, images, columns)
    if source == "digits":
        return digits_source()
    if on_hub:
        return hub_source(source, ask=download, progress=progress)
    places = search_path(data_dir)
    layout = LAYOUTS.get(source)
    if layout is not None:
        return _find_published(layout, places, download, progress)
    given = _expanded(source)
    for path in (given, *(place / given for place in places)):
        if os.path.exists(path):  # noqa: PTH110 - False, not an error, for what can't be a path
            return open_table(path, images, columns) or open_path(path)
    nearby = did_you_mean(source, _names_near(given, places))
    raise DataNotFoundError(
        f"data {source!r}: there is no such path{nearby}, neither as given nor in "
        f"{', '.join(map(str, places))}; {_ways_out(source)}"
    )


def open_path(path: Path) -> Source:
    """The data set at an existing path, its kind told by suffix and content."""
    if path.is_dir():
        return _open_folder(path)
    if path.suffix == ".parquet":
        return parquet_source([path], path.stem)
    if path.suffix == ".npz":
        return npz_source(path)
    if is_idx(path):
        return idx_source(path)
    if is_published(path):
        return archive_source(path)
    if path.name.lower().endswith(SUFFIXES):
        return folder_source(open_packed(path))
    raise DataError(
        f"{path}: found a file of no known kind, expected a table (.csv, .tsv, .jsonl), .parquet, "
        ".npz, IDX, an archive (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz), or a folder with one "
        "folder of images per class"
    )


def _open_folder(folder: Path) -> Source:
    found = idx_folder(folder) or parquet_folder(folder)
    if found is not None:
        return found
    for layout in LAYOUTS.values():
        if (folder / layout.archive).is_file():
            return archive_source(folder / layout.archive)
        for place in (folder, folder / layout.folder):
            if is_extracted(place, layout):
                return extracted_source(place, layout)
    return folder_source(folder)


def _find_published(
    layout: Layout, places: list[Path], download: bool, progress: Progress
) -> Source:
    for place in places:
        for name in (layout.name, layout.archive, layout.folder):
            if os.path.exists(place / name):  # noqa: PTH110 - False where it can't be looked at
                return replace(open_path(place / name), name=layout.name)
    looked = f"data {layout.name!r}: looked for {layout.name}/, {layout.archive} and " + (
        f"{layout.folder}/ in {', '.join(map(str, places))}"
    )
    if not download:
        raise DataNotFoundError(f"{looked}, and found none; {_ways_out(layout.name)}")
    archive = _downloads() / layout.archive
    try:
        fetch(OFFICIAL_URL + layout.archive, archive, layout.md5, progress=progress)
    except DataNotFoundError as error:
        raise DataNotFoundError(
            f"{looked}, found none, and couldn't download it: {error}; {_ways_out(layout.name)}"
        ) from error
    return archive_source(archive)


def _expanded(place: str) -> Path:
    """`place` as a path, `~` resolved. Raises `DataError` for one that no recipe could record."""
    try:
        place.encode()
        return Path(place).expanduser()
    except UnicodeEncodeError as error:
        raise DataError(
            f"data {printable(place)}: the path is not valid UTF-8; rename the folder"
        ) from error
    except RuntimeError as error:
        raise DataError(
            f"data {printable(place)}: there is no such user; write the path out"
        ) from error


def _downloads() -> Path:
    return platformdirs.user_cache_path("clearsight") / "data"


def _names_near(given: Path, places: list[Path]) -> Iterator[str]:
    """What could have been meant: names of data sets, and what lies beside the path given."""
    yield from (*LAYOUTS, "digits")
    for folder in (given.parent, *(place / given.parent for place in places)):
        with suppress(OSError, ValueError):  # only a hint
            yield from [str(given.parent / entry.name) for entry in folder.iterdir()]


def _ways_out(source: str) -> str:
    return (
        f"put it at {Path('data') / source} or name its folder's place with --data-dir, "
        "or go without: --data digits (bundled), or `clearsight demo`"
    )

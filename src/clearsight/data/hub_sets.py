"""Data sets of the Hugging Face hub, `hf://OWNER/NAME`: their parquet files, downloaded once.

The files go into the hub's own cache, and what belongs to a revision into clearsight's: a set is
used again, also without a network, once all of it is there.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clearsight.data.names import class_names, listed, printable
from clearsight.data.parquet import parquet_source
from clearsight.data.records import Source, file_digests
from clearsight.errors import DataError, DataNotFoundError, FileError, WeightsError
from clearsight.files import write_json
from clearsight.progress import Progress
from clearsight.runtime.disk_cache import cache_folder
from clearsight.runtime.hub import client, download, watched

PREFIX = "hf://"
_ADDRESS = re.compile(
    r"hf://(?:datasets/)?(?P<repository>[\w-][\w.-]*/[\w-][\w.-]*?)"
    r"(?:@(?P<revision>refs/\w+/\w[\w.-]*|\w[\w.-]*))?(?:/(?P<folder>[^@]+?))?/?",
    re.ASCII,
)
_PATIENCE = 20.0  # seconds to wait for an answer
_CONVERTED = "refs/convert/parquet"  # where the hub puts other data sets as parquet
_LABELS = ("label", "fine_label")


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """The parquet files of a data set's revision.

    `revision`: the commit; `sizes`: bytes of each file by its path; `digests`: SHA-256 of those
    that the hub knows it of; `classes`: the names of the classes by its card, where it has some
    """

    revision: str
    sizes: dict[str, int]
    digests: dict[str, str]
    classes: list[str] | None


def hub_source(address: str, *, ask: bool, progress: Progress) -> Source:
    """The data set at `hf://OWNER/NAME`, `hf://OWNER/NAME@REVISION`, or a folder in it, `…/FOLDER`.

    What is not on this machine yet is downloaded; unless `ask`, or where the hub is away, what was
    downloaded before is used. Raises `DataNotFoundError` where there is none, and `DataError` for
    data sets without parquet files, and for files that differ from what the hub says of them.
    """
    told = _ADDRESS.fullmatch(address)
    if told is None:
        raise DataError(
            f"data {printable(address)}: is no address of a data set on the hub; write it as "
            "hf://OWNER/NAME or hf://OWNER/NAME@REVISION"
        )
    repository, folder = told["repository"], told["folder"]
    note = cache_folder("hub") / f"{_key(repository, told['revision'])}.json"
    listing, notes = _listing(repository, told["revision"], note, address, ask)
    sizes = {
        file: size for file, size in listing.sizes.items()
        if folder is None or file.startswith(f"{folder}/")
    }  # fmt: skip
    if not sizes:
        where = f"in {printable(folder)}/ " if folder else ""
        found = f", but {listed(listing.sizes)}" if listing.sizes else ""
        raise DataError(
            f"data {address}: holds no parquet files {where}at revision {listing.revision[:12]}"
            f"{found}; try hf://{repository}@{_CONVERTED}, where the hub puts its own copy"
        )
    files = _files(repository, listing, sizes, address, ask, progress)
    # The snapshot's root: each file lies there at its own path.
    root = files[0].parents[len(Path(next(iter(sizes))).parts) - 1]
    return parquet_source(
        files,
        repository.partition("/")[2],
        root=root / (folder or ""),
        classes=class_names(listing.classes, f"{address}: its card") if listing.classes else None,
        notes=(f"revision {listing.revision} of hf://{repository}", *notes),
    )


def _listing(
    repository: str, revision: str | None, note: Path, address: str, ask: bool
) -> tuple[_Listing, Sequence[str]]:
    """(what the hub holds, else held when it was asked last; notes)."""
    from huggingface_hub import constants

    before = _read(note)
    reason = (
        "nothing is to be downloaded" if not ask
        else "the hub is switched off (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE
        else None
    )  # fmt: skip
    if reason is None:
        try:
            found = _ask(repository, revision)
        except WeightsError as error:
            from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

            if isinstance(error.__cause__, RevisionNotFoundError):
                raise DataNotFoundError(
                    f"data {address}: the hub has no such revision of it; check what follows the @"
                ) from error
            if isinstance(error.__cause__, RepositoryNotFoundError):
                raise DataNotFoundError(
                    f"data {address}: the hub has no such data set, or none that you may see; "
                    "check the name, and if it is private, log in (`hf auth login`)"
                ) from error
            reason = str(error)
        else:
            _write(note, found)
            return found, ()
    if before is None:
        raise DataNotFoundError(
            f"data {address}: {reason}, and it was not downloaded before; connect to the network, "
            "or name a folder with its parquet files"
        )
    return before, (f"as downloaded before ({reason})",) if ask else ()


def _ask(repository: str, revision: str | None) -> _Listing:
    api = client().HfApi()
    about = watched(
        lambda _: api.dataset_info(repository, revision=revision, files_metadata=True),
        f"gave no answer in {_PATIENCE:g} seconds",
        _PATIENCE,
    )
    files = [file for file in about.siblings or () if file.rfilename.endswith(".parquet")]
    return _Listing(
        revision=about.sha or revision or "main",
        sizes={file.rfilename: file.size or 0 for file in files},
        digests={file.rfilename: file.lfs.sha256 for file in files if file.lfs is not None},
        classes=_classes_of_card(about.card_data.to_dict() if about.card_data else {}),
    )


def _files(
    repository: str,
    listing: _Listing,
    sizes: dict[str, int],
    address: str,
    ask: bool,
    progress: Progress,
) -> list[Path]:
    """The files in the hub's cache, those that are missing downloaded and checked."""
    huggingface_hub = client()
    from huggingface_hub import constants

    here: dict[str, Path] = {}
    for file in sizes:
        found = huggingface_hub.try_to_load_from_cache(
            repository, file, revision=listing.revision, repo_type="dataset"
        )
        if isinstance(found, str):
            here[file] = Path(found)
    missing = [file for file in sizes if file not in here]
    if missing and (not ask or constants.HF_HUB_OFFLINE):
        raise DataNotFoundError(
            f"data {address}: {len(missing):,} of its {len(sizes):,} files were not downloaded "
            "before; connect to the network"
        )
    total = sum(sizes[file] for file in missing)
    _check_room(Path(constants.HF_HUB_CACHE), total, address)
    with progress.task("downloading", total) as advance:
        for file in missing:
            try:
                here[file] = download(
                    repository, file, kind="dataset", revision=listing.revision, advance=advance
                )
            except WeightsError as error:
                raise DataNotFoundError(f"data {address}: {file}: {error}") from error
            _check(here[file], file, listing, address)
    return [here[file] for file in sizes]


def _check(path: Path, file: str, listing: _Listing, address: str) -> None:
    """Removes a file that is not what the hub says, and raises `DataError`."""
    size, expected = path.stat().st_size, listing.sizes[file]
    digest = listing.digests.get(file)
    if size != expected or (digest is not None and file_digests([path])[0] != digest):
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise DataError(
            f"data {address}: {file} arrived with other content than the hub announced "
            f"({size:,} bytes, expected {expected:,}); try again"
        )


def _check_room(cache: Path, needed: int, address: str) -> None:
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise DataError(
            f"data {address}: has {needed / 2**30:,.1f} GiB, and there are {free / 2**30:,.1f} GiB "
            f"free at {printable(cache)}; free some space, or set HF_HOME to a larger disk"
        )


def _classes_of_card(card: dict[str, Any]) -> list[str] | None:
    """The class names that `dataset_info` of the card lists for the labels; None where it doesn't,
    or where its configurations differ."""
    about = card.get("dataset_info")
    found = []
    for configuration in about if isinstance(about, list) else [about]:
        features = _of(configuration, "features")
        for feature in features if isinstance(features, list) else []:
            if _of(feature, "name") in _LABELS:
                names = _of(_of(_of(feature, "dtype"), "class_label"), "names")
                # By number, as '0': cat.
                if isinstance(names, dict) and all(str(key).isdecimal() for key in names):
                    names = [names[key] for key in sorted(names, key=int)]
                found.append(names)
    first = found[0] if found else None
    is_told = isinstance(first, list) and all(names == first for names in found)
    return [str(name) for name in first] if is_told else None


def _of(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _key(repository: str, revision: str | None) -> str:
    from huggingface_hub import constants

    text = json.dumps([constants.ENDPOINT, repository, revision])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(note: Path) -> _Listing | None:
    try:
        return _Listing(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(note: Path, listing: _Listing) -> None:
    """For the next time; where it can't be written, the hub is asked again."""
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_json(note, asdict(listing))
    except (FileError, OSError):
        return

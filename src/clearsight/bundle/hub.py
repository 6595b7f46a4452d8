"""Bundles on the Hugging Face hub, as repositories that other tools read as well.

    README.md           the model card, with the metadata that the hub reads
    config.json         what timm builds the network from, and
    model.safetensors   its weights by timm's names; both only of networks that timm has
    bundle/             the files of the bundle, unchanged

The token comes from `HF_TOKEN` or the hub's own log-in.
"""

import errno
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from clearsight.bundle.format import (
    LARGEST,
    MANIFEST,
    MEMBERS,
    Bundle,
    check_out,
    copy_bundle,
    read_bundle,
)
from clearsight.errors import BundleError, FileError, HubError, UsageError, WeightsError, first_line
from clearsight.files import replacing
from clearsight.runtime.hub import client, download, in_words, watched
from clearsight.runtime.patience import Result

if TYPE_CHECKING:
    from huggingface_hub import HfApi

FOLDER = "bundle"
LARGEST_FILE = 2**31  # bytes: a graph is one message of protobuf, which can't be larger
PATIENCE = 20.0  # seconds to wait for an answer
LOG_IN = "set HF_TOKEN, or log in with `hf auth login`"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EIO)


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """A repository of the model hub after a push.

    `url` of the repository; `files`: their bytes, by name there; `private`: whether only its owner
    sees it; `not_timm`: why timm can't load the model, None where it can.
    """

    url: str
    files: dict[str, int]
    private: bool
    not_timm: str | None


def push(
    bundle: Path | str, repository: str, *, private: bool = False, revision: str | None = None
) -> Pushed:
    """Uploads a bundle to `repository`, `OWNER/NAME`, of the Hugging Face hub in one commit.

    The repository is made where there is none, and a bundle in it is replaced; `revision` is a
    branch, made where there is none. Only the bundle's files are uploaded, and what is made from
    them: a card, and for networks of timm the files that `timm.create_model("hf-hub:OWNER/NAME",
    pretrained=True)` loads. The token comes from `HF_TOKEN` or the hub's own log-in. Raises
    `HubError` where the hub can't be reached or refuses, where the repository holds something
    else, and where it is public although `private` is asked for.
    """
    _check_name(repository)
    read = read_bundle(bundle)
    api = _api(repository)
    if not api.token:
        raise HubError(f"{repository}: found no token to upload with; {LOG_IN}")
    with TemporaryDirectory(prefix="clearsight-") as place:
        folder = Path(place)
        not_timm = _lay_out(read, repository, revision, folder)
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        is_private = _open(api, repository, private, revision)
        with _named(repository), _quiet():
            api.upload_folder(
                repo_id=repository,
                folder_path=folder,
                revision=revision,
                commit_message=f"Push {read.architecture}, {len(read.classes)} classes",
                delete_patterns=[f"{FOLDER}/*", "config.json", "model.safetensors"],
            )
        return Pushed(
            url=f"{api.endpoint}/{repository}",
            files={path.relative_to(folder).as_posix(): path.stat().st_size for path in paths},
            private=is_private,
            not_timm=not_timm,
        )


def pull(repository: str, *, out: Path | str | None = None, revision: str | None = None) -> Path:
    """Downloads the bundle in `repository`, `OWNER/NAME`, of the Hugging Face hub.

    It becomes the new folder `out`, default `NAME`, once all checksums are verified; `revision` is
    a branch, a tag or a commit. Only the files of a bundle are downloaded, none of which can hold
    code. Raises `HubError` where the hub can't be reached, refuses, or has no bundle there,
    `BundleError` where that is damaged.
    """
    _check_name(repository)
    out = Path(out) if out is not None else Path(repository.partition("/")[2])
    if out.exists():
        raise UsageError(f"{out}: exists already; choose another --out")
    check_out(out)
    api = _api(repository)
    about = _ask(
        repository,
        lambda: api.model_info(repository, revision=revision, files_metadata=True),
    )
    sizes = {file.rfilename: file.size for file in about.siblings or ()}
    members = _members(repository, sizes)
    with replacing(out) as folder:
        for name in members:
            with _named(repository):
                download(repository, f"{FOLDER}/{name}", revision=about.sha, folder=folder)
            (folder / FOLDER / name).rename(folder / name)
        for name in (FOLDER, ".cache"):  # the client's own notes
            shutil.rmtree(folder / name)
        try:
            read_bundle(folder)
        except BundleError as error:
            there = str(error).replace(str(folder), f"{repository}/{FOLDER}")
            raise BundleError(f"{there}, and push it anew") from error
    return out


def _lay_out(bundle: Bundle, repository: str, revision: str | None, folder: Path) -> str | None:
    """Writes into `folder` all that the repository shall hold; why timm can't load it, or None."""
    from safetensors import SafetensorError

    from clearsight.bundle.hub_card import hub_card
    from clearsight.bundle.timm_format import write_for_timm

    try:
        copy_bundle(bundle, folder / FOLDER)
        not_timm = write_for_timm(bundle, folder)
        card = hub_card(bundle, repository, not_timm, revision)
        (folder / "README.md").write_text(card, encoding="utf-8")
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise FileError(
            f"{folder}: can't be written ({reason}); free some space there, or set TMPDIR to "
            "another folder"
        ) from error
    return not_timm


def _open(api: "HfApi", repository: str, private: bool, revision: str | None) -> bool:
    """Makes repository and branch where there are none; whether the repository is private."""
    # Without a wish the owner's own default decides.
    _ask(repository, lambda: api.create_repo(repository, private=private or None, exist_ok=True))
    about = _ask(repository, lambda: api.model_info(repository))
    if private and not about.private:
        raise HubError(
            f"{repository}: is public already, and nothing was uploaded; make it private in its "
            "settings on the hub, or push to another name"
        )
    names = {file.rfilename for file in about.siblings or ()}
    foreign = sorted(names - {".gitattributes", "README.md"})
    if foreign and f"{FOLDER}/{MANIFEST}" not in names:
        raise HubError(
            f"{repository}: holds something else than a bundle ({_some(foreign)}), and nothing was "
            "uploaded; push to another name"
        )
    if revision is not None:
        _ask(repository, lambda: api.create_branch(repository, branch=revision, exist_ok=True))
    return bool(about.private)


def _members(repository: str, sizes: dict[str, int | None]) -> list[str]:
    """The names of the bundle's files. Raises `HubError` where `sizes`, by name, are of none."""
    if f"{FOLDER}/{MANIFEST}" not in sizes:
        found = _some(sorted(sizes)) or "nothing"
        raise HubError(
            f"{repository}: is no clearsight bundle (found {found}); give one that "
            "`clearsight push` made"
        )
    members = sorted(name for name in sizes if name.startswith(f"{FOLDER}/"))
    for path in members:
        name, size = path.removeprefix(f"{FOLDER}/"), sizes[path] or 0
        if name not in MEMBERS:
            raise HubError(f"{repository}: {path} is no file of a bundle; nothing was downloaded")
        largest = LARGEST if name == MANIFEST else LARGEST_FILE
        if size > largest:
            raise HubError(
                f"{repository}: {path} has {size / 2**20:,.0f} MiB, which is more than the "
                f"{largest / 2**20:,.0f} MiB of the largest bundle; nothing was downloaded"
            )
    return [path.removeprefix(f"{FOLDER}/") for path in members]


def _api(repository: str) -> "HfApi":
    """The hub's client. Raises `HubError` where it is switched off; nothing is asked yet."""
    huggingface_hub = client()
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise HubError(
            f"{repository}: the model hub is switched off (HF_HUB_OFFLINE); unset it for this "
            "command"
        )
    return huggingface_hub.HfApi(
        endpoint=constants.ENDPOINT,
        token=huggingface_hub.get_token(),
        library_name="clearsight",
        library_version=version("clearsight"),
    )


def _ask(repository: str, work: Callable[[], Result]) -> Result:
    with _named(repository):
        return watched(lambda _: work(), f"gave no answer in {PATIENCE:g} seconds", PATIENCE)


@contextmanager
def _named(repository: str) -> Generator[None]:
    """Turns what the client raises into a `HubError`; what this disk refuses stays an `OSError`."""
    try:
        yield
    except Exception as error:
        cause = error.__cause__ if isinstance(error, WeightsError) else error
        if isinstance(cause, OSError) and cause.errno in _DISK:
            raise cause from None
        raise HubError(f"{repository}: {_sentence(error, cause)}") from error


@contextmanager
def _quiet() -> Generator[None]:
    """No bars where nobody watches them, and no doubt about a bundle's own parquet file."""
    from huggingface_hub import utils

    shown = not utils.are_progress_bars_disabled()
    if shown and not sys.stderr.isatty():
        utils.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="It seems that you are about to commit a data"
            )
            yield
    finally:
        if shown:
            utils.enable_progress_bars()


def _sentence(error: Exception, cause: BaseException | None) -> str:
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(cause, RevisionNotFoundError):
        return "the model hub has no such revision of it; check --revision"
    if isinstance(cause, RepositoryNotFoundError):
        return (
            "the model hub has no such repository, or none that you may see; check the name, and "
            f"if it is private, {LOG_IN}"
        )
    if isinstance(cause, ValueError | LookupError | TypeError):  # the client's, of an odd answer
        return f"the model hub and its client do not agree ({first_line(cause)}); try again later"
    return in_words(cause) if isinstance(cause, Exception) else str(error)


def _check_name(repository: str) -> None:
    """Raises `UsageError` for what can't be a repository's name on the hub."""
    client()  # before anything else imports it
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
        sound = bool(_NAME.fullmatch(repository))
    except HFValidationError:
        sound = False
    if not sound:
        raise UsageError(
            f"repository: found {repository!r}, expected OWNER/NAME, each of letters, digits, "
            "'-', '_' and '.', such as anna/pets"
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + ", …" * (len(names) > 3)

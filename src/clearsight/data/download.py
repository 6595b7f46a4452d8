"""Files from the network: given up quickly, checked, and whole or absent on disk."""

import hashlib
import http.client
import urllib.request
from pathlib import Path
from typing import BinaryIO

from clearsight.errors import DataNotFoundError, FileError
from clearsight.files import replacing
from clearsight.progress import SILENT, Progress
from clearsight.runtime.patience import SilenceError, with_patience

PATIENCE = 10.0
_BLOCK = 1 << 18


def download(
    url: str,
    path: Path,
    md5: str,
    *,
    progress: Progress = SILENT,
    patience: float = PATIENCE,
) -> None:
    """The file at `url` as `path`, if its MD5 checksum is `md5`.

    Raises `DataNotFoundError` if there is no answer within `patience` seconds in total, if the
    transfer stalls for as long, if the checksum differs, or if `path` can't be written; then
    nothing is left there.
    """
    with _open(url, patience) as response:
        try:
            with replacing(path) as temporary, temporary.open("wb") as file:
                _transfer(response, file, url, md5, progress)
        except (FileError, OSError) as error:
            raise DataNotFoundError(
                f"{path} can't be written ({error.__cause__ or error})"
            ) from error


def _transfer(
    response: http.client.HTTPResponse, file: BinaryIO, url: str, md5: str, progress: Progress
) -> None:
    total = int(response.headers.get("Content-Length") or 0)
    digest = hashlib.md5(usedforsecurity=False)
    done = 0
    with progress.task("downloading", total) as advance:
        while block := _read(response, url):
            file.write(block)
            digest.update(block)
            done += len(block)
            advance(len(block))
    if digest.hexdigest() != md5:
        raise DataNotFoundError(
            f"{url} gave {done:,} bytes with the MD5 checksum {digest.hexdigest()}, expected {md5}"
        )


def _open(url: str, patience: float) -> http.client.HTTPResponse:
    try:
        return with_patience(lambda _: urllib.request.urlopen(url, timeout=patience), patience)
    except SilenceError:
        raise DataNotFoundError(f"{url} gave no answer within {patience:g} seconds") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DataNotFoundError(f"{url} can't be had ({_reason(error)})") from error


def _read(response: http.client.HTTPResponse, url: str) -> bytes:
    try:
        return response.read(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise DataNotFoundError(f"{url} broke off ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(getattr(reason, "strerror", None) or reason or error)

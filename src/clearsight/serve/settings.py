"""What a service allows: how much, how long, from whom."""

import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from clearsight.errors import FileError, UsageError
from clearsight.files import read_text

TOKEN_VARIABLE = "CLEARSIGHT_TOKEN"
SHORTEST_TOKEN = 16
LONGEST_TOKEN_FILE = 4096


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Limits and guards of a service.

    - `body`: bytes of a request; `megapixels` of an image, by its header; `images` of a request
    - `seconds` that a request may take, its body's arrival included
    - `queue`: images that wait for the model, and requests at work, at most
    - `token`: what requests to the API must bear; None: nothing
    - `loopback`: whether only this machine is listened to; `hosts`: further names of the service
    - `keep`: folder for images whose label was corrected; None: nothing is kept
    - `samples`: folder of images that the page offers; None: it offers none
    - `openapi`: whether the API's description is served
    """

    body: int = 32 * 2**20
    megapixels: float = 64
    images: int = 64
    seconds: float = 30
    queue: int = 64
    token: str | None = None
    loopback: bool = True
    hosts: tuple[str, ...] = ()
    keep: Path | None = None
    samples: Path | None = None
    openapi: bool = False

    def __post_init__(self) -> None:
        for name in ("body", "megapixels", "images", "seconds", "queue"):
            value = getattr(self, name)
            if not value > 0:
                raise UsageError(f"serve: found {name} {value:g}, expected a number above 0")
        if self.images > self.queue:
            raise UsageError(
                f"serve: found {self.images:,} images in a request and {self.queue:,} in the "
                "queue, which could never take such a request; choose a longer queue"
            )


def read_token(file: Path | None) -> str | None:
    """The token in `file`, or in the environment variable `CLEARSIGHT_TOKEN`; None without either.

    Raises `FileError` for a file that can't be read, `UsageError` for a token that is easy to
    guess or that no header can carry.
    """
    if file is None:
        token, source = os.environ.get(TOKEN_VARIABLE), f"${TOKEN_VARIABLE}"
        if token is None:
            return None
    else:
        token, source = read_text(file, LONGEST_TOKEN_FILE), str(file)
    token = token.strip()
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise UsageError(
            f"{source}: found a token that is shorter than {SHORTEST_TOKEN} characters or not "
            'plain ASCII; make one with: python -c "import secrets; print(secrets.token_hex())"'
        )
    return token


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_bind(host: str, token: str | None, *, without_token: bool) -> None:
    """Raises `UsageError` where others could reach the service at `host` without a token."""
    if not is_loopback(host) and token is None and not without_token:
        raise UsageError(
            f"serve: found --host {host}, which other machines can reach, and no token; give one "
            f"by --token-file or ${TOKEN_VARIABLE}, or allow everyone with --without-token"
        )


def check_keep(folder: Path) -> None:
    """Makes the folder for corrected images. Raises `FileError` where it can't be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            f"{folder}: can't be made ({error.strerror}); choose another --keep"
        ) from error
    if not os.access(folder, os.W_OK):
        raise FileError(f"{folder}: can't be written; choose another --keep")

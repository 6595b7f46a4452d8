"""The images of a request, read and judged within the service's limits."""

from typing import NamedTuple

import numpy as np
from fastapi import Request
from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from clearsight.bundle.format import Bundle
from clearsight.data.decoding import read_image
from clearsight.data.formats import UnusableError, header_size, quiet
from clearsight.data.images import fit_image
from clearsight.errors import DataError
from clearsight.serve.problems import ProblemError
from clearsight.serve.settings import Settings

MULTIPART = "multipart/form-data"
PIXELS_IN_A_MEGAPIXEL = 1_000_000


class Upload(NamedTuple):
    """An encoded image as it came; `name`: its file's, None where only bytes were sent."""

    name: str | None
    content: bytes


async def uploads(request: Request, settings: Settings) -> list[Upload]:
    """The images of a request: its files where it is multipart, else its body.

    Raises `ProblemError` for a body that is too large or malformed, or has too many images or none.
    """
    limited = Request(request.scope, _limited(request, settings.body))
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == MULTIPART:
        return await _files(limited, settings.images)
    content = await limited.body()
    if not content:
        raise ProblemError(400, "body: is empty; send an image, or several as multipart/form-data")
    return [Upload(None, content)]


def fitted(upload: Upload, bundle: Bundle, megapixels: float) -> np.ndarray:
    """The image as the model gets it, uint8 [S, S, 3]; pixels are counted before any is decoded.

    Raises `DataError` without the file's name, for whatever can't be used.
    """
    name = "image"
    try:
        with quiet:
            width, height = header_size(upload.content)
    except UnusableError as error:
        raise DataError(str(error)) from error
    if width * height > megapixels * PIXELS_IN_A_MEGAPIXEL:
        raise DataError(
            f"has {width:,} × {height:,} pixels, over the limit of {megapixels:g} megapixels; "
            "scale it down"
        )
    try:
        return fit_image(read_image(upload.content, name), bundle.size, bundle.fit)
    except DataError as error:
        raise DataError(str(error).removeprefix(f"{name}: ")) from error


def _limited(request: Request, most: int) -> Receive:
    """What receives the body, up to `most` bytes. Raises `ProblemError` beyond."""
    too_large = ProblemError(413, f"body: larger than the limit of {most:,} bytes")
    said = request.headers.get("content-length", "")
    if said.isdecimal() and len(said) < 20 and int(said) > most:
        raise too_large
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > most:
            raise too_large
        return message

    return receive


async def _files(request: Request, most: int) -> list[Upload]:
    try:
        async with request.form(max_files=most, max_fields=0) as form:
            files = [file for _, file in form.multi_items() if isinstance(file, UploadFile)]
            found = [Upload(file.filename or None, await file.read()) for file in files]
    except HTTPException as error:
        status = 413 if error.detail.startswith("Too many") else 400
        raise ProblemError(
            status, f"body: {error.detail.rstrip('.')}; send 1 to {most:,} files"
        ) from error
    except (FormParserError, UnicodeError) as error:
        raise ProblemError(400, "body: is no valid multipart/form-data") from error
    if not found:
        raise ProblemError(400, "body: has no file; send images as files of multipart/form-data")
    return found

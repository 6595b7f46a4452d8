"""Files of the Hugging Face hub: failures are named within seconds, downloads may take longer."""

import logging
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from clearsight.errors import WeightsError, first_line
from clearsight.runtime.patience import Result, SilenceError, with_patience

PATIENCE = 4.5  # seconds without an answer, or without a byte, after which the hub is given up
BLOCK = 1 << 16  # bytes between two signs of progress


def client() -> ModuleType:
    """The hub's client, which tells its makers nothing of this machine."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub
    from huggingface_hub import constants

    if os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1":  # timm may have imported it before
        cast(Any, constants).HF_HUB_DISABLE_TELEMETRY = True
    return huggingface_hub


def fetch(repository: str, files: Sequence[str]) -> Path:
    """The first of `files` that the hub's `repository` holds, in the hub's own cache.

    It is downloaded where it is not there yet. Raises `WeightsError`, whose message is the reason
    alone, within `PATIENCE` seconds after the hub's last sign of life.
    """
    huggingface_hub = client()
    from huggingface_hub import constants

    cached = [huggingface_hub.try_to_load_from_cache(repository, file) for file in files]
    path = next((found for found in cached if isinstance(found, str)), None)
    if path is not None:
        return Path(path)
    if constants.HF_HUB_OFFLINE:
        raise WeightsError("the Hugging Face hub is switched off (HF_HUB_OFFLINE)")
    file = next((file for file in files if _is_there(repository, file)), None)
    if file is None:
        raise WeightsError(
            f"{repository} on the Hugging Face hub holds neither of {', '.join(files)}"
        )
    return download(repository, file)


def _is_there(repository: str, file: str) -> bool:
    huggingface_hub = client()
    from huggingface_hub.errors import EntryNotFoundError

    url = huggingface_hub.hf_hub_url(repository, file)
    try:
        watched(
            lambda _: huggingface_hub.get_hf_file_metadata(url, timeout=PATIENCE),
            f"gave no answer in {PATIENCE:g} seconds",
        )
    except WeightsError as error:
        if isinstance(error.__cause__, EntryNotFoundError):
            return False
        raise
    return True


def download(
    repository: str,
    file: str,
    *,
    kind: str = "model",
    revision: str | None = None,
    folder: Path | None = None,
    advance: Callable[[int], None] | None = None,
) -> Path:
    """The file of the hub's repository of that kind, in `folder` or in the hub's own cache.

    `advance`, if given, is called with the bytes got since its last call, and no bar is shown.

    Raises `WeightsError`, whose message is the reason alone, where no byte comes for `PATIENCE`
    seconds or the client fails.
    """
    huggingface_hub = client()
    from huggingface_hub.utils import tqdm

    def work(advanced: Callable[[int], None]) -> str:
        class Bar(tqdm):
            def __init__(self, *args: Any, **options: Any) -> None:
                own = {"desc": file} if advance is None else {"desc": file, "disable": True}
                super().__init__(*args, **(options | own))  # the name without the commit

            def update(self, n: float | None = 1) -> bool | None:
                advanced(int(n or 0))
                if advance is not None:
                    advance(int(n or 0))
                return super().update(n)

        return huggingface_hub.hf_hub_download(
            repository, file, repo_type=kind, revision=revision, local_dir=folder, tqdm_class=Bar
        )

    with _small_blocks():
        return Path(watched(work, f"stalled while {file} was downloaded"))


def watched(
    work: Callable[[Callable[[int], None]], Result], silence: str, patience: float | None = None
) -> Result:
    """What `work` returns. It gets a function that takes the bytes it has got since the last call.

    Raises `WeightsError` where the client fails, and, for it would try again for minutes, where
    no new byte has come for `patience` seconds (default: `PATIENCE`); `silence` then says what
    happened.
    """

    def counted(hear: Callable[[], None]) -> Result:
        got, most = 0, 0

        def advanced(count: int) -> None:
            nonlocal got, most
            got += count  # negative where the client begins again: that is no progress
            if got > most:
                most = got
                hear()

        return work(advanced)

    with _warnings() as warned:
        try:
            return with_patience(counted, PATIENCE if patience is None else patience)
        except SilenceError:
            reason = f" ({warned[-1]})" if warned else ""
            raise WeightsError(f"the Hugging Face hub {silence}{reason}") from None
        except Exception as error:
            raise WeightsError(in_words(error)) from error


def in_words(error: Exception) -> str:
    """What went wrong; the classes of the client's errors change with its HTTP library."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is None and isinstance(error.__cause__, Exception):
        return in_words(error.__cause__)  # the client's own advice says less
    first = first_line(error)
    if status in (401, 403):
        return (
            f"the Hugging Face hub refuses access (status {status}: {first}); log in "
            "(`hf auth login`)"
        )
    if status is not None:
        return f"the Hugging Face hub answered with status {status} ({first}); try again later"
    return f"the Hugging Face hub can't be reached ({first})"


@contextmanager
def _warnings() -> Generator[list[str]]:
    """First lines of the errors the client warns of meanwhile: why it tries again."""
    found: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            if "error" in message.lower():  # the others say how long it waits
                found.append(message.splitlines()[0])

    logger, handler = logging.getLogger("huggingface_hub"), Keep(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)


@contextmanager
def _small_blocks() -> Generator[None]:
    """Lets the client report its progress more often than every ten megabytes."""
    from huggingface_hub import constants

    changeable = cast(Any, constants)
    before = changeable.DOWNLOAD_CHUNK_SIZE
    changeable.DOWNLOAD_CHUNK_SIZE = BLOCK
    try:
        yield
    finally:
        changeable.DOWNLOAD_CHUNK_SIZE = before

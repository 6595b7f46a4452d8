"""`clearsight serve` as a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

BUNDLE = Path(__file__).parents[1] / "bundle" / "v2"


@contextmanager
def served(*flags: str, **environment: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """The running service of the test bundle, and its address without the last slash."""
    command = [sys.executable, "-m", "clearsight", "serve", str(BUNDLE), "--port", "0", *flags]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        address = re.search(r"http://\S+?:\d+", line)
        assert address, line + process.stderr.read()
        yield process, address[0]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()

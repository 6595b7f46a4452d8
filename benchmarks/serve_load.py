"""What a running service holds: requests a second, latency and errors, over loopback.

    clearsight serve BUNDLE &
    python benchmarks/serve_load.py http://127.0.0.1:8000 photo.png --connections 16 --seconds 300

Each connection is kept open and asks `POST /v1/predict` with the bytes of the image, one request
after the other; with `--rate` requests start at that many a second in all, whether or not the
earlier ones are answered, and their latency counts from when they should have started. The first
`--warm-up` seconds are left out. The generator is one process that runs on the same cores. The
service's resident memory is read from its `/metrics` after the warm-up and at the end. An answer of
503 is counted apart: it is how the service sheds load.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

SHED = "503"
BROKEN = "connection"


@dataclass
class Tally:
    """Answers by status, and the seconds that each of the good ones took."""

    start: float
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def add(self, due: float, status: str) -> None:
        now = time.perf_counter()
        if now >= self.start:
            self.statuses[status] += 1
            if status == "200":
                self.seconds.append(now - due)


async def answer(reader: asyncio.StreamReader) -> str:
    """The status of the next answer, whose body is read and dropped."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    await reader.readexactly(int(length[1]) if length else 0)
    return head[9:12].decode()


async def ask(host: str, port: int, request: bytes, due: asyncio.Queue, tally: Tally) -> None:
    """Asks on one connection, which is opened anew where it breaks, until `due` gives None."""
    streams = None
    while (start := await due.get()) is not None:
        try:
            streams = streams or await asyncio.open_connection(host, port)
            streams[1].write(request)
            tally.add(start, await answer(streams[0]))
        except (OSError, asyncio.IncompleteReadError):
            tally.add(start, BROKEN)
            streams = None
    if streams:
        streams[1].close()


class Now(asyncio.Queue):
    """A queue that is never empty until `end`: each request is due when it is asked for."""

    def __init__(self, end: float) -> None:
        super().__init__()
        self._end = end

    async def get(self) -> float | None:
        now = time.perf_counter()
        return now if now < self._end else None


async def load(address: str, image: bytes, given: argparse.Namespace) -> Tally:
    parts = urlsplit(address)
    assert parts.hostname, address
    host, port = parts.hostname, parts.port or 80
    request = (
        f"POST /v1/predict HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(image)}\r\n\r\n"
    ).encode() + image
    begin = time.perf_counter()
    tally = Tally(begin + given.warm_up)
    end = tally.start + given.seconds
    due: asyncio.Queue = asyncio.Queue() if given.rate else Now(end)
    workers = [
        asyncio.create_task(ask(host, port, request, due, tally)) for _ in range(given.connections)
    ]
    memory = asyncio.create_task(after(given.warm_up, address))
    if given.rate:
        for k in range(int((given.warm_up + given.seconds) * given.rate)):
            start = begin + k / given.rate
            await asyncio.sleep(max(0, start - time.perf_counter()))
            due.put_nowait(start)
        for _ in workers:
            due.put_nowait(None)
    await asyncio.gather(*workers)
    given.memory = [await memory, await asyncio.to_thread(resident, address)]
    return tally


async def after(seconds: float, address: str) -> float:
    await asyncio.sleep(seconds)
    return await asyncio.to_thread(resident, address)


def resident(address: str) -> float:
    """MiB of the service's memory."""
    request = urllib.request.Request(f"{address}/metrics")
    if token := os.environ.get("CLEARSIGHT_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answered:
        text = answered.read().decode()
    found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)
    return float(found[1]) / 2**20 if found else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="of the service, such as http://127.0.0.1:8000")
    parser.add_argument("image", type=Path)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--warm-up", type=float, default=5)
    parser.add_argument(
        "--rate", type=float, help="requests a second, default: as many as it takes"
    )
    given = parser.parse_args()
    address = given.address.rstrip("/")
    tally = asyncio.run(load(address, given.image.read_bytes(), given))
    times = 1000 * np.array(tally.seconds or [np.nan])
    errors = {s: n for s, n in tally.statuses.items() if s not in ("200", SHED)}
    print(
        json.dumps(
            {
                "connections": given.connections,
                "rate": given.rate,
                "seconds": given.seconds,
                "answered_per_second": len(tally.seconds) / given.seconds,
                "milliseconds": {f"p{q}": float(np.percentile(times, q)) for q in (50, 95, 99)},
                "shed": tally.statuses[SHED],
                "errors": errors,
                "resident_mib": given.memory,
                "load_average": os.getloadavg()[0],
                "machine": f"{os.cpu_count()} cores, {platform.machine()}",
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()

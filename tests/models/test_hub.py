"""The model hub, played by a server on this machine: one download, and every failure by name."""

import hashlib
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import timm
from safetensors.torch import save

from clearsight.errors import WeightsError
from clearsight.models import pretrained
from clearsight.runtime import hub

NAME = "resnet18.a1_in1k"
FILE = f"/timm/{NAME}/resolve/main/model.safetensors"
HALF = 200_000


class Hub(BaseHTTPRequestHandler):
    """Answers for one file; `content`, `head` and `get` are set by a test."""

    content = b""
    head: ClassVar[Callable[["Hub"], None] | None] = None
    get: ClassVar[Callable[["Hub"], None] | None] = None
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        own = type(self).head if self.command == "HEAD" else type(self).get
        if self.path != FILE:
            self.answer(404, b"")
        elif own is not None:
            own(self)
        else:
            self.answer(200, self.content)

    do_HEAD = do_GET  # noqa: N815 - the server's own naming

    def answer(self, status: int, body: bytes, sent: int | None = None) -> None:
        """`sent`: bytes of the body that are written, of those that were announced."""
        self.send_response(status)
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("ETag", '"0123456789abcdef"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:sent])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def status(code: int) -> Callable[[Hub], None]:
    return lambda request: request.answer(code, b"")


def stall(request: Hub) -> None:
    time.sleep(12)


def stall_amid_the_body(request: Hub) -> None:
    request.answer(200, request.content, HALF)
    request.wfile.flush()
    time.sleep(12)


def cut_off(request: Hub) -> None:
    request.answer(200, request.content, HALF)
    request.close_connection = True


def reset(request: Hub) -> None:
    # Closing with a linger of 0 seconds sends a reset instead of an end.
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.close()


def trickle(request: Hub) -> None:
    """The whole file in pieces, for longer than the patience of these tests."""
    request.answer(200, request.content, 0)
    step = len(request.content) // 8 + 1
    for start in range(0, len(request.content), step):
        request.wfile.write(request.content[start : start + step])
        request.wfile.flush()
        time.sleep(0.3)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A hub on this machine that this process asks, with an empty cache."""
    from huggingface_hub import constants

    handler = type("Handler", (Hub,), {"content": bytes(2 * HALF), "asked": []})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    running.daemon_threads = True
    threading.Thread(target=running.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{running.server_port}"
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield handler
    running.shutdown()
    running.server_close()


@pytest.mark.parametrize(
    ("when", "behaviour", "message"),
    [
        ("head", status(503), "answered with status 503"),
        ("get", status(503), "answered with status 503"),
        ("head", status(429), "answered with status 429"),
        ("get", status(429), "stalled while model.safetensors was downloaded .*429"),
        ("head", status(401), "refuses access .*log in"),
        ("head", status(403), "refuses access .*log in"),
        ("head", status(404), "holds neither of model.safetensors, pytorch_model.bin"),
        ("get", status(404), "answered with status 404"),
        ("head", stall, "gave no answer in 1 seconds"),
        ("get", stall, "stalled while model.safetensors was downloaded"),
        ("get", stall_amid_the_body, "stalled while model.safetensors was downloaded"),
        ("get", cut_off, "stalled while model.safetensors was downloaded .*[Ee]rror"),
        ("head", reset, "can't be reached .*reset"),
        ("get", reset, "can't be reached .*reset"),
    ],
)
def test_every_failure_is_named_and_soon(
    server: type[Hub],
    monkeypatch: pytest.MonkeyPatch,
    when: str,
    behaviour: Callable[[Hub], None],
    message: str,
) -> None:
    setattr(server, when, behaviour)
    monkeypatch.setattr(hub, "PATIENCE", 1.0)
    before = time.monotonic()
    with pytest.raises(WeightsError, match=message) as caught:
        pretrained.find_weights(NAME, None)
    assert time.monotonic() - before < 6
    assert "--model.weights FILE" in str(caught.value)


def test_a_download_that_progresses_may_take_longer_than_the_patience(
    server: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.get = trickle
    monkeypatch.setattr(hub, "PATIENCE", 1.2)
    before = time.monotonic()
    path = hub.fetch(f"timm/{NAME}", ("model.safetensors",))
    assert time.monotonic() - before > 1.2
    assert path.read_bytes() == server.content


def test_the_second_file_is_taken_where_the_first_is_absent(server: type[Hub]) -> None:
    path = hub.fetch(f"timm/{NAME}", ("absent.bin", "model.safetensors"))
    assert path.name == "model.safetensors"


def test_without_a_network_one_error_names_the_three_ways_within_ten_seconds(
    server: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    # Nothing listens on the discard port.
    nowhere = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(
        constants.ENDPOINT, "http://127.0.0.1:9"
    )
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", nowhere)
    before = time.perf_counter()
    with pytest.raises(WeightsError, match="can't be reached") as caught:
        pretrained.find_weights(NAME, None)
    assert time.perf_counter() - before < 10
    for way in ("--model.weights FILE", "clearsight[offline]", "connect to the network"):
        assert way in str(caught.value)


def test_a_hub_that_is_switched_off_is_not_asked(
    server: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE"):
        pretrained.find_weights(NAME, None)
    assert server.asked == []


PROBE = """
import json, sys
from clearsight.models import pretrained
weights = pretrained.find_weights(sys.argv[1], None)
pretrained.backbone_with(sys.argv[1], 224, weights)
print(json.dumps(weights.origin()))
"""


@pytest.mark.slow  # two fresh processes
def test_the_hub_s_weights_are_downloaded_once(server: type[Hub], tmp_path: Path) -> None:
    from huggingface_hub import constants

    network = timm.create_model(NAME)
    server.content = save({k: v.contiguous() for k, v in network.state_dict().items()})

    def probe() -> str:
        surroundings = {"HF_ENDPOINT": constants.ENDPOINT, "HF_HOME": str(tmp_path)}
        result = subprocess.run(
            [sys.executable, "-c", PROBE, NAME],
            env={**surroundings, "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        return result.stdout

    text = probe()
    assert f'"source": "hub timm/{NAME}"' in text
    assert '"licence": "apache-2.0"' in text
    assert hashlib.sha256(server.content).hexdigest() in text
    count = len(server.asked)
    assert probe() == text
    assert len(server.asked) == count

"""The service as a process: it starts without torch, and ends without losing a request."""

import http.client
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clearsight.cli import main
from tests.serve.process import BUNDLE, served
from tests.serve.test_service import png


def connect(address: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_is_answered_before_the_end(stop: signal.Signals) -> None:
    with served() as (process, address):
        connection = connect(address)
        connection.putrequest("POST", "/v1/predict")
        content = png()
        connection.putheader("Content-Length", str(len(content)))
        connection.endheaders(content[:100])
        while b'path="/readyz"' not in metrics(address):  # by then that request is in flight
            other = connect(address)
            other.request("GET", "/readyz")
            assert other.getresponse().status == 200
        process.send_signal(stop)
        while is_open(address):
            time.sleep(0.01)
        connection.send(content[100:])
        answer = connection.getresponse()
        assert answer.status == 200
        assert b'"label"' in answer.read()
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def metrics(address: str) -> bytes:
    connection = connect(address)
    connection.request("GET", "/metrics")
    return connection.getresponse().read()


def is_open(address: str) -> bool:
    host, port = address.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_torch_is_loaded_for_explanations_only(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(png())
    probe = """
import sys
from pathlib import Path
from fastapi.testclient import TestClient
from clearsight.bundle.predict import load
from clearsight.serve.app import create_app
from clearsight.serve.settings import Settings
app = create_app(load(sys.argv[1]), Settings())
with TestClient(app, base_url="http://localhost") as api:
    content = Path(sys.argv[2]).read_bytes()
    assert api.post("/v1/predict", content=content).status_code == 200
    print(sorted({"torch", "matplotlib", "sklearn", "pyarrow", "mlflow"} & set(sys.modules)))
    assert api.get("/v1/methods").status_code == 200
    print("torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", probe, str(BUNDLE), str(tmp_path / "image.png")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["[]", "True"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--host", "0.0.0.0"], "serve: found --host 0.0.0.0, which other machines can reach"),
        (["--queue", "2"], "choose a longer queue"),
        (["--max-seconds", "0"], "found seconds 0, expected a number above 0"),
        (["--token-file", "missing"], "missing: "),
        (["--port", "99999"], "found --port 99999, expected 0 to 65535"),
    ],
)
def test_wrong_use_is_one_sentence(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLEARSIGHT_TOKEN", raising=False)
    assert main(["serve", str(BUNDLE), *flags]) in (1, 2)
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_port_that_is_taken_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(BUNDLE), "--port", str(port)]) == 2
    assert f"can't listen at 127.0.0.1, port {port}" in capsys.readouterr().err


def test_a_service_without_its_parts_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clearsight.cli.serving.find_spec", lambda name: None)
    assert main(["serve", str(BUNDLE)]) == 2
    assert "pip install 'clearsight[serve]'" in capsys.readouterr().err

"""Downloads: whole, checked, or given up quickly. A real server, on the loopback."""

import hashlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clearsight.data.download import download
from clearsight.errors import DataNotFoundError
from tests.recorder import Recorder

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.path == "/broken":
            self.wfile.write(CONTENT[:1000])
        elif self.path == "/stalled":
            self.wfile.write(CONTENT[:1000])
            self.wfile.flush()
            time.sleep(2)
        else:
            self.wfile.write(CONTENT)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_writes_the_file_and_reports(server: str, tmp_path: Path, recorder: Recorder) -> None:
    path = tmp_path / "new" / "file"
    download(f"{server}/file", path, MD5, progress=recorder)
    assert path.read_bytes() == CONTENT
    assert recorder.tasks == {"downloading": [len(CONTENT), len(CONTENT)]}
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("place", "md5", "message"),
    [
        ("file", "0" * 32, f"MD5 checksum {MD5}, expected 0000"),
        ("broken", MD5, r"1,000 bytes with the MD5 checksum|broke off"),
        ("missing", MD5, r"can't be had \(Not Found\)"),
        ("stalled", MD5, r"broke off \(timed out\)"),
    ],
)
def test_leaves_nothing_behind_what_went_wrong(
    server: str, tmp_path: Path, place: str, md5: str, message: str
) -> None:
    with pytest.raises(DataNotFoundError, match=message):
        download(f"{server}/{place}", tmp_path / "file", md5, patience=0.3)
    assert list(tmp_path.iterdir()) == []


def test_gives_up_when_there_is_no_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        start = time.monotonic()
        with pytest.raises(DataNotFoundError, match=r"no answer within 0\.3 seconds|timed out"):
            download(url, tmp_path / "file", MD5, patience=0.3)
        assert time.monotonic() - start < 5


def test_says_that_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(DataNotFoundError, match=r"can't be had .*refused"):
        download(f"http://127.0.0.1:{port}/file", tmp_path / "file", MD5)


def test_says_where_it_can_not_write(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataNotFoundError, match="can't be written"):
        download(f"{server}/file", tmp_path / "file" / "below", MD5)

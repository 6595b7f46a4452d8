"""The Hugging Face hub, played by a server on this machine, as far as models are pushed and pulled
and data sets are read; a data set is a repository like any other here.

It speaks what the hub's own client asks for: repositories, branches, the three steps of a commit
(preupload, the LFS batch with its uploads, the commit itself), listings, and files.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_test"
REGULAR = 10_000  # bytes of the largest file that is no LFS object


@dataclass
class Repository:
    private: bool = False
    card: dict[str, Any] = field(default_factory=dict)
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})


@dataclass
class Hub:
    """What the server holds and was asked; `broken` are statuses by the end of a path;
    `captive` as behind the page of a hotel, which answers for everything."""

    address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    broken: dict[str, int] = field(default_factory=dict)
    captive: bool = False

    def held(self, name: str = "anna/pets", branch: str = "main") -> dict[str, bytes]:
        return self.repositories[name].branches[branch]


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:  # noqa: PLR0911 - one per kind of request
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        self.hub.agents.add(self.headers.get("User-Agent", ""))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.hub.captive:
            return self.answer(200, b"<html>Welcome to the hotel</html>")
        status = next((s for end, s in self.hub.broken.items() if path.endswith(end)), None)
        if status is not None:
            return self.answer(status, {"error": "out of order"})
        # Divided first: a revision may have slashes, which are quoted.
        parts = [unquote(p) for p in urlsplit(self.path).path.strip("/").split("/")]
        if parts[0] == "datasets":  # whose files lie below it
            parts = parts[1:]
        if parts[0] == "lfs":
            self.hub.objects[parts[1]] = body
            return self.answer(200, {})
        if self.command == "POST" and not self.knows_me():
            return self.answer(401, {"error": "no token"})
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if parts[:2] in (["api", "models"], ["api", "datasets"]):
            return self.model("/".join(parts[2:4]), parts[4:], body)
        if path.endswith(".git/info/lfs/objects/batch"):
            return self.batch(json.loads(body))
        if parts[2:3] == ["resolve"]:
            return self.resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return self.answer(404, {"error": path})

    do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815 - the server's own naming

    def knows_me(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        url = {"url": f"{self.hub.address}/{name}"}
        if name in self.hub.repositories:
            return self.answer(409, url)
        private = asked.get("visibility") == "private" or bool(asked.get("private"))  # 1.x says so
        self.hub.repositories[name] = Repository(private)
        return self.answer(200, url)

    def model(self, name: str, rest: list[str], body: bytes) -> None:  # noqa: PLR0911
        repository = self.visible(name)
        if repository is None:
            return self.missing("RepoNotFound", 404 if self.knows_me() else 401)
        what, revision = (*rest, "revision", "main")[:2] if not rest else (rest[0], rest[1])
        if what == "branch":
            repository.branches.setdefault(revision, dict(repository.branches["main"]))
            return self.answer(200, {})
        files = self.files(repository, revision)
        if files is None:
            return self.missing("RevisionNotFound")
        if what == "tree":
            listing = [
                {"type": "file", "path": path, "size": len(content), "oid": sha(path)}
                for path, content in sorted(files.items())
            ]
            return self.answer(200, json.dumps(listing).encode())
        if what == "preupload":
            asked = json.loads(body)["files"]
            modes = [
                {"path": f["path"], "shouldIgnore": False,
                 "uploadMode": "lfs" if f["size"] > REGULAR else "regular"}
                for f in asked
            ]  # fmt: skip
            return self.answer(200, {"files": modes})
        if what == "commit":
            self.commit(files, body)
            return self.answer(
                200, {"commitUrl": f"{self.hub.address}/{name}/commit/1", "commitOid": "1" * 40}
            )
        siblings = [about(path, files[path]) for path in sorted(files)]
        return self.answer(
            200,
            {"id": name, "sha": sha(revision), "private": repository.private,
             "siblings": siblings, "cardData": repository.card, "tags": [],
             "downloads": 0, "likes": 0},
        )  # fmt: skip

    def commit(self, files: dict[str, bytes], body: bytes) -> None:
        for line in body.splitlines():
            step = json.loads(line)
            about = step["value"]
            if step["key"] == "file":
                files[about["path"]] = base64.b64decode(about["content"])
            elif step["key"] == "lfsFile":
                files[about["path"]] = self.hub.objects[about["oid"]]
            elif step["key"] == "deletedFile":
                del files[about["path"]]

    def batch(self, asked: dict[str, Any]) -> None:
        objects = [
            {"oid": o["oid"], "size": o["size"],
             "actions": {"upload": {"href": f"{self.hub.address}/lfs/{o['oid']}"}}}
            for o in asked["objects"]
        ]  # fmt: skip
        self.answer(200, {"transfer": "basic", "objects": objects})

    def resolve(self, name: str, revision: str, path: str) -> None:
        repository = self.visible(name)
        if repository is None:
            return self.missing("RepoNotFound", 404 if self.knows_me() else 401)
        files = self.files(repository, revision)
        if files is None:
            return self.missing("RevisionNotFound")
        if path not in files:
            return self.missing("EntryNotFound")
        etag = hashlib.sha256(files[path]).hexdigest()
        return self.answer(200, files[path], {"ETag": f'"{etag}"', "X-Repo-Commit": sha(revision)})

    def visible(self, name: str) -> Repository | None:
        found = self.hub.repositories.get(name)
        return None if found is None or (found.private and not self.knows_me()) else found

    def files(self, repository: Repository, revision: str) -> dict[str, bytes] | None:
        """By the branch, or by the commit at its end."""
        return next((f for b, f in repository.branches.items() if revision in (b, sha(b))), None)

    def missing(self, code: str, status: int = 404) -> None:
        self.answer(status, {"error": code}, {"X-Error-Code": code})

    def answer(
        self, status: int, body: dict[str, Any] | bytes, headers: dict[str, str] | None = None
    ) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def sha(branch: str) -> str:
    return hashlib.sha1(branch.encode()).hexdigest()


def about(path: str, content: bytes) -> dict[str, Any]:
    """A file as the hub lists it, which knows the digests of LFS objects alone."""
    digest = hashlib.sha256(content).hexdigest()
    lfs = {"sha256": digest, "size": len(content), "pointerSize": 100}
    large = {"lfs": lfs} if len(content) > REGULAR or path.endswith(".parquet") else {}
    return {"rfilename": path, "size": len(content), **large}


@contextmanager
def running_hub() -> Generator[Hub]:
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()

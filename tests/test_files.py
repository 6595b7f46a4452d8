"""Atomic files: leftovers of killed processes, and folders held by one process at a time."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clearsight.files import is_locked, locked, replacing, sweep, write_text

DEAD = 999_999_999  # above any kernel's largest process id


def leave(path: Path, age: float = 0.0) -> Path:
    """A temporary file, or a folder of them, as a process leaves it that was killed."""
    if path.suffix == ".old" or "folder" in path.name:
        path.mkdir()
        (path / "inside").write_text("half")
    else:
        path.write_text("half")
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_dead_processes_left_is_swept(tmp_path: Path) -> None:
    for name in (f".a.json.{DEAD}.tmp", f".folder.{DEAD}.tmp", f".m.db.{DEAD}.tmp-journal"):
        leave(tmp_path / name)
    kept = leave(tmp_path / f".b.json.{os.getpid()}.tmp")
    for name in ("a.tmp", ".hidden", ".a.b.tmp", f"x.{DEAD}.tmp"):  # not ours
        leave(tmp_path / name)
    sweep(tmp_path, idle=0)
    assert names(tmp_path) == sorted([kept.name, "a.tmp", ".hidden", ".a.b.tmp", f"x.{DEAD}.tmp"])


def test_what_was_put_aside_comes_back_or_goes(tmp_path: Path) -> None:
    leave(tmp_path / ".lost.old")
    leave(tmp_path / ".there.old")
    (tmp_path / "there").mkdir()
    sweep(tmp_path, idle=0)
    assert names(tmp_path) == ["lost", "there"]
    assert names(tmp_path / "lost") == ["inside"]
    assert names(tmp_path / "there") == []


def test_what_may_be_at_work_in_another_container_stays(tmp_path: Path) -> None:
    fresh = leave(tmp_path / f".a.json.{DEAD}.tmp")
    sweep(tmp_path)
    assert fresh.exists()


def test_the_next_writer_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path / f".a.json.{DEAD}.tmp")
    later = time.time() + 120
    monkeypatch.setattr(time, "time", lambda: later)
    write_text(tmp_path / "b.txt", "b")
    assert names(tmp_path) == ["b.txt"]
    # Once a process: listing a folder at each of many writes would take longer than they do.
    left = leave(tmp_path / f".a.json.{DEAD}.tmp")
    write_text(tmp_path / "c.txt", "c")
    assert names(tmp_path) == [left.name, "b.txt", "c.txt"]


def test_a_folder_is_held_by_one_until_it_dies(tmp_path: Path) -> None:
    holding = f"""
import sys
from pathlib import Path
from clearsight.files import locked
with locked(Path({str(tmp_path)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    assert not is_locked(tmp_path)
    assert not is_locked(tmp_path / "absent")
    process = subprocess.Popen(
        [sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert is_locked(tmp_path)
    with pytest.raises(BlockingIOError), locked(tmp_path, wait=False):
        pass
    process.kill()
    process.communicate()
    assert not is_locked(tmp_path)
    with locked(tmp_path, wait=False):
        assert is_locked(tmp_path)


def test_a_dot_is_a_folder_with_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    with replacing(Path()) as temporary:
        temporary.mkdir()
    assert names(tmp_path) == ["inside"]

"""Damaged, edited and disguised bundles: a bundle, or one sentence of the project's."""

import copy
import hashlib
import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearsight.bundle.card import model_card
from clearsight.bundle.format import (
    Bundle,
    _sealed,
    check_out,
    copy_bundle,
    read_bundle,
)
from clearsight.bundle.mlflow_flavor import write_model
from clearsight.bundle.predict import load
from clearsight.errors import BundleError, ClearsightError, UsageError
from tests.edits import edited

KEPT = Path(__file__).parent / "v1"
MANIFEST = json.loads((KEPT / "bundle.json").read_text("utf-8"))
QUICK = settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def paths_of(value: Any, path: tuple = ()) -> list[tuple]:
    """The path of every key and item in a JSON value, of long lists the first."""
    items: list = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))[:1]
    inner = [paths_of(each, (*path, key)) for key, each in items]
    return [*([path] if path else []), *(each for some in inner for each in some)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(KEPT, tmp_path / "bundle")


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """As an editor with all checksums at hand would leave it."""
    content = {key: value for key, value in manifest.items() if key != "checksum"}
    (folder / "bundle.json").write_text(_sealed(content), "utf-8")


def use(folder: Path) -> Bundle:
    """Reads a bundle and does with its manifest what commands do."""
    bundle = read_bundle(folder)
    manifest = json.loads((folder / "bundle.json").read_text("utf-8"))
    assert model_card(manifest).endswith("\n")
    predictor = load(folder)
    predictor.predict(np.zeros((bundle.size, bundle.size, 3), np.uint8))
    return bundle


def refusal(folder: Path) -> str | None:
    """What the error of `use` says, None where there is none."""
    try:
        use(folder).classifier()
    except ClearsightError as error:
        text = str(error)
    else:
        return None
    assert str(folder) in text
    assert "\n" not in text
    assert len(text) < 2000
    return text


odd = st.sampled_from(
    [..., None, True, False, 0, 1, -1, 33, 0.5, 32.0, 10**30, 1e300, "", "x", "33", "../../etc",
     [], [0.5], [0.5] * 3, [[]], ["a", "a"], ["a", ""], {}, {"a": 1}]
) | st.integers() | st.text(max_size=5)  # fmt: skip


@QUICK
@given(st.sampled_from(paths_of(MANIFEST)), odd)
def test_any_edit_of_bundle_json_gives_a_bundle_or_one_sentence(
    folder: Path, path: tuple, value: Any
) -> None:
    write_manifest(folder, edited(MANIFEST, path, value))
    refusal(folder)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("input", "size"), 0, r"bundle\.json: input\.size: found 0, expected 1 or more"),
        (("input", "size"), -1, r"input\.size: found -1"),
        (("input", "size"), "32", r"input\.size: found '32', expected integer"),
        (("input", "size"), 10**9, r"input\.size: found 1000000000, expected 4096 or less"),
        (("input", "size"), 33, r"model\.onnx: has .*bundle\.json expects images .*\[33, 33, 3\]"),
        (("input", "fit"), "squash", r"input\.fit: found 'squash', expected one of letterbox"),
        (("classes",), ["a"], r"classes: found \['a'\], expected 2 or more items"),
        (("classes",), list("abc"), r"expects .*probabilities tensor\(float\) \[3\]"),
        (("classes",), list("abcdefghijk"), r"expects .*probabilities tensor\(float\) \[11\]"),
        (("classes",), ["a"] * 10, r"classes: found .* expected no item twice"),
        (("classes",), [*"abcdefghi", ""], r"classes\[9\]: found ''"),
        (("classes",), [*"abcdefghi", 3], r"classes\[9\]: found 3, expected string"),
        (("preprocessing", "mean"), [0.5, 0.5], r"preprocessing\.mean: found .* 3 or more items"),
        (("preprocessing", "std"), [0.5, 0.5, 0], r"std\[2\]: found 0, expected more than 0"),
        (("preprocessing", "gamma"), 2.2, "preprocessing: found the unknown key 'gamma'"),
        (("metrics", "accuracy"), 0.9, r"metrics\.accuracy: found 0\.9, expected object"),
        (("metrics", "n"), ..., "metrics missing dependency n for accuracy"),
        (("sha256", "../../x"), "0" * 64, r"sha256: found .* expected names like"),
        (("sha256", "model.onnx"), None, r"sha256\.model\.onnx: found None"),
        (("format_version",), True, "names no format version"),
        (("format_version",), 10**30, "reads versions up to 2; upgrade"),
    ],
)  # fmt: skip
def test_wrong_keys_are_named(folder: Path, path: tuple, value: Any, message: str) -> None:
    write_manifest(folder, edited(MANIFEST, path, value))
    with pytest.raises(BundleError, match=message):
        use(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "invalid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"format_version": NaN}', "NaN is no JSON"),
        (b'{"format_version": 1e400}', "1e400 is too large a number"),
        (b'{"format_version": ' + b"9" * 5000 + b"}", "invalid JSON"),
        (b"\xff\xfe{\x00}\x00", "is not text in UTF-8"),
        (b'{"architecture": "caf\xe9"}', "is not text in UTF-8"),
        (b" " * (2**26 + 1), "is larger than 64 MiB"),
    ],
)
def test_a_bundle_json_that_is_damaged_is_one_sentence(
    folder: Path, content: bytes, message: str
) -> None:
    (folder / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match=rf"bundle\.json: .*{message}"):
        read_bundle(folder)


def test_unknown_keys_are_ignored_but_in_what_is_done_with_pixels(folder: Path) -> None:
    write_manifest(folder, MANIFEST | {"weather": "fine"})
    assert read_bundle(folder).classes == tuple("0123456789")


@QUICK
@given(
    st.sampled_from(["model.safetensors", "model.onnx", "validation.parquet", "MODEL_CARD.md"]),
    st.integers(0, 2**16),
    st.binary(max_size=8),
)
def test_any_damage_of_the_files_gives_a_bundle_or_one_sentence(
    folder: Path, name: str, position: int, piece: bytes
) -> None:
    content = (KEPT / name).read_bytes()
    position %= len(content)
    # Overwritten, or cut off where there is nothing to write.
    changed = content[:position] + (piece + content[position + len(piece) :] if piece else b"")
    (folder / name).write_bytes(changed)
    manifest = copy.deepcopy(MANIFEST)
    manifest["sha256"][name] = hashlib.sha256(changed).hexdigest()
    write_manifest(folder, manifest)
    try:
        refusal(folder)
    finally:
        (folder / name).write_bytes(content)


def test_a_graph_with_other_inputs_is_refused(folder: Path) -> None:
    for old, new in (("images", "pixels"), ("probabilities", "logits")):
        graph = onnx.load(KEPT / "model.onnx")
        for node in graph.graph.node:
            node.input[:] = [new if each == old else each for each in node.input]
            node.output[:] = [new if each == old else each for each in node.output]
        for value in (*graph.graph.input, *graph.graph.output):
            value.name = new if value.name == old else value.name
        (folder / "model.onnx").write_bytes(graph.SerializeToString())
        digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
        write_manifest(folder, edited(MANIFEST, ("sha256", "model.onnx"), digest))
        assert f"{new} tensor" in str(refusal(folder))


def test_what_is_no_regular_file_of_the_folder_is_not_opened(folder: Path) -> None:
    file = folder / "model.onnx"
    outside = shutil.copy(file, folder.parent / "outside.onnx")
    for make, message in (
        (partial(os.mkfifo, file), "is a named pipe"),
        (lambda: file.symlink_to("/dev/zero"), "is a device"),
        (lambda: file.symlink_to(outside), "is a link to a file outside of the bundle"),
        (lambda: file.symlink_to(".."), "is a folder"),
        (lambda: file.symlink_to("model.onnx"), "can't be read"),
        (file.mkdir, "is a folder"),
    ):
        file.unlink()
        make()
        with pytest.raises(BundleError, match=rf"model\.onnx: {message}"):
            read_bundle(folder)
        if file.is_dir() and not file.is_symlink():
            break
    manifest = folder / "bundle.json"
    manifest.unlink()
    os.mkfifo(manifest)
    with pytest.raises(BundleError, match=r"bundle\.json: is a named pipe"):
        read_bundle(folder)


def test_a_link_inside_the_folder_is_followed(folder: Path) -> None:
    (folder / "model.onnx").rename(folder / "graph")
    (folder / "model.onnx").symlink_to("graph")
    assert read_bundle(folder).classes == tuple("0123456789")


def test_only_the_bundle_s_files_are_copied(folder: Path, tmp_path: Path) -> None:
    (folder / "notes.txt").write_text("mine", "utf-8")
    (folder / "up").symlink_to("..")
    names = {path.name for path in KEPT.iterdir()}
    copy_bundle(read_bundle(folder), tmp_path / "copy")
    assert {path.name for path in (tmp_path / "copy").iterdir()} == names
    assert read_bundle(tmp_path / "copy").checksum == MANIFEST["checksum"]
    model = write_model(folder, tmp_path / "model")
    assert {path.name for path in (model / "bundle").iterdir()} == names


def test_paths_in_any_characters_and_read_only_folders_work(tmp_path: Path) -> None:
    for name in ("with space", "Ärger ✓", os.fsdecode(b"caf\xe9"), "a@b", "100%?#"):
        folder = shutil.copytree(KEPT, tmp_path / name)
        folder.chmod(0o500)
        assert use(folder).path == folder
        folder.chmod(0o700)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: shutil.make_archive(str(path), "zip", KEPT), "no such folder"),
        (lambda path: path.write_bytes(b"PK\3\4"), "is a file; unpack it first"),
        (lambda path: path.mkdir(), r"no bundle\.json in it"),
        (lambda path: path.symlink_to(path.name), "no such folder|can't be read"),
        (os.mkfifo, "is a file"),
    ],
)
def test_what_is_no_bundle_is_said(tmp_path: Path, make: Any, message: str) -> None:
    make(tmp_path / "bundle")
    with pytest.raises(BundleError, match=rf"bundle .*: ({message})"):
        read_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, ""])
def test_a_path_that_can_not_be_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="bundle "):
        read_bundle(f"{tmp_path}/{name}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_one_sentence(folder: Path) -> None:
    folder.chmod(0)
    with pytest.raises(BundleError, match=r"can't be read \(Permission denied\)"):
        read_bundle(folder)
    folder.chmod(0o700)


def test_a_bundle_is_written_only_where_it_replaces_nothing_else(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "alike").mkdir()
    (tmp_path / "alike" / "model.onnx").write_bytes(b"mine")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "work" / "inner")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    for place, message in (
        (".", "is the working folder or holds it"),
        ("..", "is the working folder or holds it"),
        ("/", "is the working folder or holds it"),
        (tmp_path / "work" / "inner", "is the working folder or holds it"),
        (folder / "again", "lies inside the bundle"),
        (folder / "again" / "deeper", "lies inside the bundle"),
        (tmp_path / "link", "is a link"),
        (tmp_path / "pipe", "is a file"),
        (tmp_path / "alike", r"holds other files \(model\.onnx\)"),
        ("a\0b", "can't be used"),
        ("x" * 300, "can't be used"),
    ):
        with pytest.raises(BundleError, match=message):
            check_out(Path(place))
    for place in (folder, tmp_path / "new", tmp_path / "newer", "inside", "../beside"):
        check_out(Path(place))
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_bundle_in_the_working_folder_is_not_replaced_by_itself(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(BundleError, match="is the working folder"):
        check_out(Path())


def test_an_mlflow_model_is_not_written_over_anything(folder: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        write_model(folder, folder)

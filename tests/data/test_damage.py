"""Any bytes in a data file give images or one of the project's errors, never another."""

import copy
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from clearsight.config.schema import DataConfig
from clearsight.data.archives import unpickle
from clearsight.data.arrays import npz_source
from clearsight.data.images import ImageSet
from clearsight.data.parquet import parquet_source
from clearsight.data.sources import open_path
from clearsight.data.splits import Split, from_manifest, manifest, split
from clearsight.errors import ClearsightError

bounded = settings(
    derandomize=True,
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# (where as a fraction of the file, the new byte); a cut behind that fraction; bytes put in there.
edits = st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=8)
cuts = st.one_of(st.none(), st.floats(0, 1))


def edited(content: bytes, changes: list[tuple[float, int]], cut: float | None) -> bytes:
    damaged = bytearray(content)
    for where, value in changes:
        damaged[int(where * len(damaged))] = value
    return bytes(damaged if cut is None else damaged[: int(cut * len(damaged))])


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), value).save(buffer, "PNG")
    return buffer.getvalue()


def npz() -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "images": np.zeros((4, 2, 2), np.uint8), "labels": [0, 1, 0, 1],
        "classes": ["café", "dog"], "parts": ["train", "train", "test", "test"],
    }  # fmt: skip
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def parquet() -> bytes:
    images = [{"bytes": png(i), "path": "x.png"} for i in range(4)]
    table = pa.table({"img": images, "label": ["cat", "café", "cat", "café"]})
    buffer = io.BytesIO()
    metadata = json.dumps({"info": {"features": {"label": {"names": ["cat", "café"]}}}})
    pq.write_table(table.replace_schema_metadata({"huggingface": metadata}), buffer)
    return buffer.getvalue()


def read_only_errors_of_the_project(read: Callable[[], object]) -> None:
    message = ""
    try:
        read()
    except ClearsightError as error:
        message = str(error)
    assert len(message) < 1000
    assert not message or message.isprintable()


@bounded
@given(edits, cuts)
def test_damaged_npz(tmp_path: Path, changes: list[tuple[float, int]], cut: float | None) -> None:
    path = tmp_path / "set.npz"
    path.write_bytes(edited(npz(), changes, cut))
    read_only_errors_of_the_project(lambda: npz_source(path).read())


arrays = st.one_of(
    st.binary(max_size=4),
    st.text(max_size=4),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.booleans(),
    st.none(),
    st.complex_numbers(),
    st.lists(st.one_of(st.integers(-2, 3), st.text(max_size=3)), max_size=4),
    st.lists(st.binary(max_size=3), min_size=4, max_size=4),
    st.lists(st.text(max_size=3), min_size=4, max_size=4),
    st.just(np.zeros((4, 2, 2), np.uint8)),
    st.just(np.zeros((4, 2, 2), "M8[s]")),
    st.just(np.zeros((0, 2, 2), np.uint8)),
    st.just(np.zeros(4, "i4,i4")),
    st.just([0, 1, 0, 1]),
)
keys = st.sampled_from(
    ["images", "labels", "classes", "parts", "split", "x_train", "y_train", "x_test", "y_test",
     "x_dev", "y_dev", "x_", "other"]
)  # fmt: skip


@bounded
@given(st.dictionaries(keys, arrays, max_size=6))
def test_npz_of_odd_arrays(tmp_path: Path, content: dict[str, Any]) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, **content)
    read_only_errors_of_the_project(lambda: npz_source(path).read())


@bounded
@given(edits, cuts)
def test_damaged_parquet(
    tmp_path: Path, changes: list[tuple[float, int]], cut: float | None
) -> None:
    path = tmp_path / "set.parquet"
    path.write_bytes(edited(parquet(), changes, cut))
    read_only_errors_of_the_project(lambda: parquet_source([path], "set").read())


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@bounded
@given(json_values)
def test_parquet_of_odd_metadata(tmp_path: Path, names: object) -> None:
    path = tmp_path / "set.parquet"
    table = pa.table({"img": [png(0), png(1)], "label": [0, 1]})
    for about in (names, {"info": {"features": {"label": {"names": names}}}}):
        pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(about)}), path)
        read_only_errors_of_the_project(lambda: parquet_source([path], "set").read())


@bounded
@given(st.data())
def test_edited_manifest(pets: ImageSet, data: st.DataObject) -> None:
    kept = manifest(pets, split(pets, DataConfig()), DataConfig())
    changed = copy.deepcopy(kept)
    table: Any = changed
    while True:
        key = data.draw(st.sampled_from(sorted(table)))
        if isinstance(table[key], dict) and table[key] and data.draw(st.booleans()):
            table = table[key]
            continue
        break
    table[data.draw(st.one_of(st.just(key), st.text(max_size=5)))] = data.draw(json_values)

    def read() -> Split:
        return from_manifest(pets, changed)

    information = {"size": kept["size"], "fit": kept["fit"]}  # what the hash leaves out
    if changed | information == kept:
        read_only_errors_of_the_project(read)
        return
    with pytest.raises(ClearsightError):
        read()
    read_only_errors_of_the_project(read)


@bounded
@given(json_values)
def test_anything_for_a_manifest(pets: ImageSet, value: Any) -> None:
    with pytest.raises(ClearsightError):
        from_manifest(pets, value)


@bounded
@given(edits, cuts)
def test_damaged_pickles(changes: list[tuple[float, int]], cut: float | None) -> None:
    import pickle

    content = pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1]}, 2)
    head = content[:200] + content[-60:]
    for whole in (content, head):
        read_only_errors_of_the_project(lambda w=whole: unpickle(edited(w, changes, cut), "batch"))


names = st.sampled_from(
    ["train", "test", "Training", "dev", "cat", "dog", "cat ", "caf\u00e9", "cafe\u0301",
     "caf\udce9", "a\nb", "runs", "@eaDir", "images", "1.png", "2.PNG", "x.txt", "y.heic",
     "z.parquet", "set.npz", "recipe.toml", "environment.json", "$x", "  ", "l" * 250, ".h",
     "1_gradcam.png"]
)  # fmt: skip
kinds = st.sampled_from(["folder", "folder", "folder", "file", "file", "link", "pipe"])


@bounded
@given(st.lists(st.tuples(st.integers(0, 10), names, kinds, st.integers(0, 10)), max_size=25))
def test_any_tree_of_folders(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[int, str, str, int]]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    folders = [root, root / "cat"]
    (root / "cat").mkdir()
    for within, name, kind, target in entries:
        path = folders[within % len(folders)] / name
        if path.is_symlink() or path.exists():
            continue
        if kind == "folder":
            path.mkdir()
            folders.append(path)
        elif kind == "link":
            path.symlink_to([*folders, "..", ".", name, "/dev/null"][target % (len(folders) + 4)])
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.touch()

    def read() -> None:
        source = open_path(root)
        records = source.read()
        assert all(note.isprintable() for note in source.notes)
        assert all(name.encode() for name in records.classes)
        for i, image in enumerate(records.images):
            assert isinstance(image, Path)
            assert image.is_file()
            assert records.locate(i).isprintable()

    read_only_errors_of_the_project(read)

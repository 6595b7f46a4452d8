"""Parquet in the layouts of public data sets."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from clearsight.data.parquet import parquet_files, parquet_source
from clearsight.errors import DataError


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), value).save(buffer, "PNG")
    return buffer.getvalue()


def write(
    path: Path,
    labels: list[int] | list[str] | list[int | None],
    *,
    names: list[str] | None = None,
    image: str = "img",
    label: str = "label",
    plain: bool = False,
) -> Path:
    pixels = [png(i) for i in range(len(labels))]
    column = pixels if plain else [{"bytes": p, "path": f"{i}.png"} for i, p in enumerate(pixels)]
    table = pa.table({image: column, label: labels})
    if names is not None:
        features = {label: {"names": names, "_type": "ClassLabel"}}
        about = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": about})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def test_reads_classes_labels_and_parts(tmp_path: Path) -> None:
    names = ["cat", "dog"]
    write(tmp_path / "train-00000-of-00002.parquet", [0, 1], names=names)
    write(tmp_path / "train-00001-of-00002.parquet", [1], names=names)
    write(tmp_path / "validation-00000-of-00001.parquet", [0], names=names)
    write(tmp_path / "test-00000-of-00001.parquet", [1, 0], names=names)
    records = parquet_source(parquet_files(tmp_path), "pets").read()
    assert records.classes == ("cat", "dog")
    assert records.labels.tolist() == [1, 0, 0, 1, 1, 0]
    assert records.parts.tolist() == ["test"] * 2 + ["train"] * 3 + ["validation"]
    assert list(records.images[:2]) == [png(0), png(1)]
    assert records.locate(4) == f"{tmp_path}/train-00001-of-00002.parquet, row 0"


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("image", ["img", "image"])
def test_reads_both_column_names_and_both_encodings(
    tmp_path: Path, image: str, plain: bool
) -> None:
    path = write(tmp_path / "x.parquet", [1, 0], names=["a", "b"], image=image, plain=plain)
    records = parquet_source([path], "x").read()
    assert list(records.images) == [png(0), png(1)]
    assert records.parts.tolist() == ["", ""]


def test_without_names_the_labels_name_the_classes(tmp_path: Path) -> None:
    numbers = write(tmp_path / "n.parquet", [7, 3, 7])
    words = write(tmp_path / "w.parquet", ["fox", "cat", "fox"])
    assert parquet_source([numbers], "n").read().classes == ("3", "7")
    records = parquet_source([words], "w").read()
    assert records.classes == ("cat", "fox")
    assert records.labels.tolist() == [1, 0, 1]


def test_reads_the_fine_labels_of_cifar100(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [1, 0], names=["a", "b"], label="fine_label")
    assert parquet_source([path], "x").read().classes == ("a", "b")


def test_files_may_lie_in_a_subfolder(tmp_path: Path) -> None:
    path = write(tmp_path / "data" / "train-0.parquet", [0, 1])
    write(tmp_path / ".cache" / "train-0.parquet", [0, 1])
    assert parquet_files(tmp_path) == [path]


def test_the_fingerprint_follows_content_and_part(tmp_path: Path) -> None:
    def fingerprint(name: str, labels: list[int]) -> str:
        return parquet_source([write(tmp_path / name, labels)], "x").fingerprint

    first = fingerprint("train.parquet", [0, 1])
    assert fingerprint("train.parquet", [0, 1]) == first
    assert fingerprint("train.parquet", [1, 1]) != first
    assert fingerprint("test.parquet", [0, 1]) != first


def test_refuses_other_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [0, 1], image="picture")
    with pytest.raises(DataError, match=r"x\.parquet: found the columns picture, label, expected"):
        parquet_source([path], "x").read()


def test_refuses_images_that_are_no_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"img": [1, 2], "label": [0, 1]}), path)
    with pytest.raises(DataError, match=r"x\.parquet: column img.* is int64, expected encoded"):
        parquet_source([path], "x").read()


def test_refuses_labels_outside_of_the_names(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [0, 1, -1], names=["a", "b"])
    with pytest.raises(DataError, match=r"x\.parquet, row 2: found label -1, expected 0 to 1"):
        parquet_source([path], "x").read()


def test_refuses_an_empty_cell(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [0, None, 1])
    with pytest.raises(DataError, match="row 1: column label is empty"):
        parquet_source([path], "x").read()


def test_refuses_files_of_different_classes(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.parquet", [0, 1], names=[n, "z"]) for n in "ab"]
    with pytest.raises(DataError, match="different class names"):
        parquet_source(paths, "x").read()


def test_refuses_a_damaged_file(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [0, 1])
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match=r"x\.parquet: can't be read as parquet"):
        parquet_source([path], "x").read()

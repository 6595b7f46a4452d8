"""Parquet in the layouts of public data sets."""

import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from clearsight.data.parquet import parquet_folder, parquet_source
from clearsight.data.records import Source
from clearsight.errors import DataError


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), value).save(buffer, "PNG")
    return buffer.getvalue()


def folder(path: Path) -> Source:
    source = parquet_folder(path)
    assert source is not None
    return source


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
    records = folder(tmp_path).read()
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
    assert [folder(tmp_path).read().locate(i) for i in range(2)] == [
        f"{path}, row 0", f"{path}, row 1",
    ]  # fmt: skip


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
    path = write(tmp_path / "x.parquet", [0, -1, -2], names=["a", "b"])
    with pytest.raises(DataError, match=r"x\.parquet, row 2: found label -2, expected 0 to 1"):
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


@pytest.mark.parametrize(
    "names",
    [
        ("default/train/0000", "default/validation/0000", "default/test/0000"),
        ("data/train/0000", "data/dev/0000", "data/test/0000"),
        ("training", "valid", "testing"),
        ("train_set", "eval", "test_set"),
        ("pets-train-00000-of-00001", "pets-val-00000-of-00001", "pets-test-00000-of-00001"),
        ("split=train/0", "split=val/0", "split=test/0"),
        ("train.parquet/part-0.snappy", "val.parquet/part-0.snappy", "test.parquet/part-0.snappy"),
        ("a/b/partial-train/0", "a/b/partial-validation/0", "a/b/partial-test/0"),
    ],
)
def test_parts_are_told_by_files_and_folders(tmp_path: Path, names: tuple[str, str, str]) -> None:
    for labels, name in zip(([0, 1, 0], [1], [0, 1]), names, strict=True):
        write(tmp_path / f"{name}.parquet", labels)
    records = folder(tmp_path).read()
    assert sorted(records.parts.tolist()) == ["test"] * 2 + ["train"] * 3 + ["validation"]
    for i, part in enumerate(records.parts):
        within = records.locate(i).removeprefix(str(tmp_path))
        assert within.startswith(f"/{names[('train', 'validation', 'test').index(part)]}")


def test_refuses_a_file_whose_part_is_unknown_beside_others(tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", [0, 1])
    write(tmp_path / "extra.parquet", [0, 1])
    with pytest.raises(DataError, match=r"can't tell the part of extra\.parquet from its path"):
        folder(tmp_path)


@pytest.mark.parametrize("name", ["train/test-0.parquet", "train-test.parquet"])
def test_refuses_a_file_of_two_parts(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, [0, 1])
    with pytest.raises(DataError, match=r"its path names both test and train"):
        folder(tmp_path)


@pytest.mark.parametrize("other", ["other/train/0000.parquet", "train-0.parquet"])
def test_refuses_several_configurations_by_name(tmp_path: Path, other: str) -> None:
    write(tmp_path / "default" / "train" / "0000.parquet", [0, 1])
    write(tmp_path / other, [0, 1])
    named = "default/, other/" if "other" in other else r"default/, \./"
    with pytest.raises(DataError, match=f"parquet files of several data sets, in {named}; name"):
        folder(tmp_path)
    assert folder(tmp_path / "default").read().parts.tolist() == ["train", "train"]


def test_predictions_of_a_run_are_no_data_set(tmp_path: Path) -> None:
    table = pa.table({"id": ["0" * 64], "label": [0], "p_cat": [0.5], "p_dog": [0.5]})
    for name in ("predictions.parquet", "out/predictions-validation.parquet", "mine.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / name)
    assert parquet_folder(tmp_path) is None
    write(tmp_path / "train.parquet", [0, 1])
    source = folder(tmp_path)
    assert len(source.read().labels) == 2
    assert source.notes == (
        "left out (predictions of a run): mine.parquet, out/predictions-validation.parquet, "
        "predictions.parquet",
    )


def test_runs_among_the_files_are_not_looked_into(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [0, 1])
    write(tmp_path / "runs" / "a" / "test.parquet", [0, 1])
    for name in ("recipe.toml", "environment.json"):
        (tmp_path / "runs" / "a" / name).touch()
    source = folder(tmp_path)
    assert source.read().parts.tolist() == ["train"] * 2
    assert source.notes == ("left out (written by clearsight): runs/a",)


def test_class_folders_may_hold_tables_of_other_things(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(png(0))
    pq.write_table(pa.table({"file": ["1.png"], "weight": [3.5]}), tmp_path / "cat" / "x.parquet")
    assert parquet_folder(tmp_path) is None
    write(tmp_path / "data.parquet", [0, 1])
    (tmp_path / "cat" / "x.parquet").unlink()
    assert folder(tmp_path).notes == ("2 image files beside the parquet files, NOT USED",)


def test_a_linked_folder_of_files_is_followed_and_a_loop_is_not(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "train.parquet", [0, 1])
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "data").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "all").symlink_to(".")
    (tmp_path / "set" / "loop.parquet").symlink_to("loop.parquet")
    os.mkfifo(tmp_path / "set" / "pipe.parquet")
    assert folder(tmp_path / "set").read().parts.tolist() == ["train"] * 2


@pytest.mark.parametrize(
    "kind",
    [pa.binary(), pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int8(), pa.binary())],
)
def test_every_binary_type_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    images = pa.array([png(0), png(1)], kind)
    pq.write_table(pa.table({"img": images, "label": [0, 1]}), tmp_path / "x.parquet")
    assert list(parquet_source([tmp_path / "x.parquet"], "x").read().images) == [png(0), png(1)]


@pytest.mark.parametrize(
    "labels",
    [
        pa.array(["fox", "ærø", "fox"], pa.large_string()),
        pa.array(["fox", "ærø", "fox"], pa.string_view()),
        pa.array(["fox", "ærø", "fox"]).dictionary_encode(),
    ],
)
def test_every_text_type_names_classes(tmp_path: Path, labels: pa.Array) -> None:
    table = pa.table({"img": [png(0), png(1), png(2)], "label": labels})
    pq.write_table(table, tmp_path / "x.parquet")
    records = parquet_source([tmp_path / "x.parquet"], "x").read()
    assert records.classes == ("fox", "ærø")
    assert records.labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pa.array([[0], [1]]), r"column label is list<.*>, expected whole numbers or class names"),
        (pa.array([{"a": 0}, {"a": 1}]), r"column label is struct<.*>, expected whole numbers"),
        (pa.array([0.0, 1.0]), "column label is double, expected whole numbers"),
        (pa.array([True, False]), "column label is bool, expected whole numbers"),
        (pa.array([b"a", b"b"]), "column label is binary, expected whole numbers"),
        (pa.array([2**64 - 1, 0], pa.uint64()), "can't be read as parquet .*not in range"),
        (pa.array(["a", "b" * 300]), "a class name of 300 characters, over the limit of 255"),
        (pa.array(["a", "a "]), "found the class 'a' more than once"),
        (pa.array(["a", "b\n"]), None),
        (pa.array(["a", "b\nc"]), "has control characters"),
        (pa.array(["a", None]), "row 1: column label is empty"),
    ],
)
def test_odd_labels_are_read_or_refused(
    tmp_path: Path, labels: pa.Array, message: str | None
) -> None:
    pq.write_table(pa.table({"img": [png(0), png(1)], "label": labels}), tmp_path / "x.parquet")
    source = parquet_source([tmp_path / "x.parquet"], "x")
    if message is None:
        assert source.read().classes == ("a", "b")
    else:
        with pytest.raises(DataError, match=message):
            source.read()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ('{"info": {"features": {"label": {"names": "ab"}}}}', "are str, expected a list"),
        ('{"info": {"features": {"label": {"names": [1, 2]}}}}', "the class name 1, expected text"),
        ('{"info": {"features": {"label": {"names": ["a", "a "]}}}}', "'a' more than once"),
        ('{"info": {"features": {"label": {"names": ["a", ""]}}}}', "'' is empty"),
        ('{"info": {"features": {"label": {"names": ["a"]}}}}', "label 1, expected 0 to 0"),
        ("[" * 100_000, "invalid JSON"),
        ("{", "invalid JSON"),
        ('{"info": {"features": [1]}}', None),
        ("[]", None),
        ("null", None),
    ],
)
def test_odd_metadata_is_passed_over_or_refused(
    tmp_path: Path, metadata: str, message: str | None
) -> None:
    table = pa.table({"img": [png(0), png(1)], "label": [0, 1]})
    pq.write_table(table.replace_schema_metadata({"huggingface": metadata}), tmp_path / "x.parquet")
    source = parquet_source([tmp_path / "x.parquet"], "x")
    if message is None:
        assert source.read().classes == ("0", "1")
    else:
        with pytest.raises(DataError, match=message):
            source.read()


def test_refuses_a_column_that_comes_twice(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([png(0)]), pa.array([0]), pa.array([1])],
                                 names=["img", "label", "label"])  # fmt: skip
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(DataError, match="found the column label twice"):
        parquet_source([tmp_path / "x.parquet"], "x").read()


def test_refuses_numbers_in_one_file_and_names_in_another(tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", [0, 1])
    write(tmp_path / "train-1.parquet", ["0", "1"])
    with pytest.raises(
        DataError, match=r"some .* whole numbers as labels and some have class names"
    ):
        folder(tmp_path).read()


def test_a_file_without_rows_adds_nothing(tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", [0, 1])
    pq.write_table(
        pa.table({"img": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}),
        tmp_path / "train-1.parquet",
    )
    assert folder(tmp_path).read().labels.tolist() == [0, 1]


def test_names_each_image_by_its_path_field_else_by_file_and_row(tmp_path: Path) -> None:
    write(tmp_path / "test-00000-of-00001.parquet", [0, 1], plain=True)
    write(tmp_path / "train-00000-of-00002.parquet", [0, 1])
    blank = pa.table({"img": [{"bytes": png(i), "path": None} for i in range(2)], "label": [0, 1]})
    pq.write_table(blank, tmp_path / "train-00001-of-00002.parquet")
    assert list(folder(tmp_path).read().files) == [
        "test-00000-of-00001.parquet, row 0",
        "test-00000-of-00001.parquet, row 1",
        "0.png",
        "1.png",
        "train-00001-of-00002.parquet, row 0",
        "train-00001-of-00002.parquet, row 1",
    ]


def test_names_files_of_folders_by_their_path_within(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write(tmp_path / "default" / part / "0000.parquet", [0, 1], plain=True)
    files = list(folder(tmp_path).read().files)
    assert files[0] == "default/test/0000.parquet, row 0"
    assert files[-1] == "default/train/0000.parquet, row 1"

"""Predictions on disk keep ids, labels and every probability."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clearsight.errors import RunError, UsageError
from clearsight.evaluation.predictions import read_predictions, without_files, write_predictions

IDS = np.array(["ab12", "ab12-2"], dtype="S72")
LABELS = np.array([1, 0])
PROBABILITIES = np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)


def test_columns_are_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    write_predictions(path, IDS, LABELS, PROBABILITIES, ("cat", "a dog"))
    table = pq.read_table(path)
    assert dict(zip(table.column_names, map(str, table.schema.types), strict=True)) == {
        "id": "string", "label": "int64", "p_cat": "float", "p_a dog": "float",
    }  # fmt: skip
    assert table.to_pylist()[1] == {"id": "ab12-2", "label": 0, "p_cat": 1.0, "p_a dog": 0.0}


def test_reads_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "seed=1" / "predictions.parquet"
    write_predictions(path, IDS, LABELS, PROBABILITIES, ("cat", "p_dog"))
    predictions = read_predictions(path)
    assert predictions.ids.tolist() == ["ab12", "ab12-2"]
    assert predictions.labels.tolist() == [1, 0]
    assert predictions.probabilities.dtype == np.float32
    np.testing.assert_array_equal(predictions.probabilities, PROBABILITIES)
    assert predictions.classes == ("cat", "p_dog")


def test_files_stand_beside_the_ids_and_old_files_have_none(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    files = np.array(["cat/\udcff.png", ""])
    write_predictions(path, IDS, LABELS, PROBABILITIES, ("file", "label"), files)
    names = pq.read_table(path).column_names
    assert names == ["id", "file", "label", "p_file", "p_label"]
    assert read_predictions(path).files.tolist() == ["cat/\\udcff.png", ""]
    assert read_predictions(path).classes == ("file", "label")
    for unknown in (None, np.array(["", ""])):
        write_predictions(path, IDS, LABELS, PROBABILITIES, "xy", unknown)
        assert pq.read_table(path).column_names == ["id", "label", "p_x", "p_y"]
        assert read_predictions(path).files.tolist() == ["", ""]


def test_a_bundle_gets_no_names_of_files(tmp_path: Path) -> None:
    path, plain = tmp_path / "named.parquet", tmp_path / "plain.parquet"
    write_predictions(path, IDS, LABELS, PROBABILITIES, "xy", ["secret/1.png", "secret/2.png"])
    write_predictions(plain, IDS, LABELS, PROBABILITIES, "xy")
    assert b"secret" not in without_files(path)
    assert without_files(plain) == plain.read_bytes()
    path.write_bytes(without_files(path))
    assert read_predictions(path).ids.tolist() == ["ab12", "ab12-2"]


def test_mistakes_come_most_confident_first(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    rows = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.99, 0.01]])
    write_predictions(path, np.array(list("abcd")), np.array([0, 1, 0, 1]), rows, "xy")
    assert read_predictions(path).mistakes().tolist() == [3, 2, 1]


def test_same_predictions_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_predictions(tmp_path / name, IDS, LABELS, PROBABILITIES, "xy")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_lengths_must_agree(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 ids, 1 labels"):
        write_predictions(tmp_path / "p", IDS, LABELS[:1], PROBABILITIES, "xy")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_missing_or_another_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="can't be read"):
        read_predictions(tmp_path / "none.parquet")
    (tmp_path / "text").write_text("no parquet")
    with pytest.raises(RunError, match="can't be read"):
        read_predictions(tmp_path / "text")
    pq.write_table(pa.table({"img": [1], "label": [0], "p_a": [0.5]}), tmp_path / "other")
    with pytest.raises(RunError, match="found columns img, label, p_a"):
        read_predictions(tmp_path / "other")
    twice = pa.Table.from_arrays([["x"], [0], [0.5], [0.5]], names=["id", "label", "p_a", "p_a"])
    pq.write_table(twice, tmp_path / "twice")
    with pytest.raises(RunError, match="found columns id, label, p_a, p_a"):
        read_predictions(tmp_path / "twice")


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("id", pa.array([1, 2])),
        ("id", pa.array(["x", None])),
        ("label", pa.array(["cat", "dog"])),
        ("label", pa.array([1, None])),
        ("p_a", pa.array([0.5, None], pa.float32())),
        ("p_a", pa.array([[0.5], [0.5]])),
    ],
)
def test_columns_of_another_type_or_with_gaps_are_refused(
    tmp_path: Path, column: str, values: pa.Array
) -> None:
    columns = {"id": ["x", "y"], "label": [0, 1], "p_a": pa.array([0.5, 1], pa.float32())}
    pq.write_table(pa.table(columns | {column: values}), tmp_path / "p")
    with pytest.raises(RunError, match=rf"column {column}: found .* gaps, expected text"):
        read_predictions(tmp_path / "p")

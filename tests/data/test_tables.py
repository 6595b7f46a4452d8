"""Labels in a table: which files its rows mean, which columns say what, and what is refused."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from clearsight.config.schema import DataConfig
from clearsight.data.images import ImageSet
from clearsight.data.sources import load_images
from clearsight.data.splits import split
from clearsight.errors import ConfigError, DataError, DataNotFoundError


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Grey images of 4 px, each of its own brightness: `photos/a.png` 10, `photos/b.png` 20, …"""
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate("abcdef"):
        image(tmp_path / "photos" / f"{name}.png", 10 * (k + 1))
    return tmp_path


def image(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), grey).save(path, path.suffix[1:] or "png")


def load(path: str = "photos/labels.csv", **settings: Any) -> ImageSet:
    return load_images(path, size=4, **settings)


def csv(text: str, path: str = "photos/labels.csv", encoding: str = "utf-8") -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(text.encode(encoding))
    return path


def refusal(text: str, path: str = "photos/labels.csv", **settings: Any) -> str:
    with pytest.raises(DataError) as found:
        load(csv(text, path), **settings)
    return str(found.value)


def seen(images: ImageSet) -> list[tuple[int, str]]:
    """(brightness, class) of each image, in order."""
    return [
        (int(pixels[0, 0, 0]), images.classes[label])
        for pixels, label in zip(images.images, images.labels, strict=True)
    ]


ROWS: list[dict[str, Any]] = [
    {"file": "a.png", "label": "cat", "split": "train", "group": "x", "weight": 0.5},
    {"file": "b.png", "label": "dog", "split": "val", "group": "y", "weight": 2},
    {"file": "c.png", "label": "cat", "split": "", "group": "x", "weight": 1},
    {"file": "d.png", "label": "dog", "split": "test", "group": "", "weight": 0},
]


def delimited(rows: list[dict[str, Any]], delimiter: str, end: str = "\n") -> bytes:
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    return "".join(delimiter.join(row) + end for row in cells).encode()


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps({k: v for k, v in row.items() if v != ""}) + "\n"
                   for row in rows).encode()  # fmt: skip


def parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


FORMATS: Mapping[str, tuple[str, Any]] = {
    "csv": ("labels.csv", lambda rows: delimited(rows, ",")),
    "csv of a spreadsheet": (
        "labels.CSV", lambda rows: b"\xef\xbb\xbf" + delimited(rows, ";", "\r\n")
    ),
    "tsv": ("labels.tsv", lambda rows: delimited(rows, "\t")),
    "json lines": ("labels.jsonl", json_lines),
    "parquet": ("labels.parquet", parquet),
}  # fmt: skip


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_says_the_same(kind: str) -> None:
    name, written = FORMATS[kind]
    Path("photos", name).write_bytes(written(ROWS))
    for _ in range(2):  # decoded, then from the cache
        images = load(f"photos/{name}")
        assert seen(images) == [(10, "cat"), (20, "dog"), (30, "cat"), (40, "dog")]
        assert images.parts.tolist() == ["train", "validation", "", "test"]
        assert images.groups is not None
        assert images.groups.tolist() == [0, 1, 0, -1]
        assert images.weights is not None
        assert images.weights.tolist() == [0.5, 2, 1, 0]
        assert images.files.tolist() == ["a.png", "b.png", "c.png", "d.png"]
        assert images.name == "labels"
        assert images.notes[0] == (
            f"columns of {name}: image 'file', label 'label', split 'split', group 'group', "
            "weight 'weight'"
        )
        assert "left out (not in the table): 2 images: e.png, f.png" in images.notes


def test_a_table_without_them_has_neither_groups_nor_weights() -> None:
    images = load(csv("file,label\na.png,cat\nb.png,dog\n"))
    assert (images.groups, images.weights) == (None, None)
    assert images.parts.tolist() == ["", ""]


def test_a_kaggle_table_of_ids_lies_beside_its_folder() -> None:
    """As in the competition on CIFAR-10: `trainLabels.csv`, `train/1.png`, and `test/1.png`."""
    for k in (1, 2, 10):
        image(Path("kaggle/train", f"{k}.png"), k)
        image(Path("kaggle/test", f"{k}.png"), 100 + k)
    images = load(csv("id,label\n1,frog\n2,truck\n10,frog\n", "kaggle/trainLabels.csv"))
    assert seen(images) == [(1, "frog"), (2, "truck"), (10, "frog")]
    assert images.files.tolist() == ["train/1.png", "train/2.png", "train/10.png"]
    assert "file names were completed: 3 in train/" in images.notes
    assert ("left out (not in the table): 3 images: test/1.png, test/10.png, test/2.png"
            in images.notes)  # fmt: skip
    told = refusal("id,label\n1,frog\n2,truck\n", "kaggle/labels.csv")
    assert told == (
        "kaggle/labels.csv, line 2: 1 may be test/1.png or train/1.png; name the folder of the "
        "images with data.images, or write their paths out in the table"
    )
    images = load("kaggle/labels.csv", images="kaggle/test")
    assert seen(images) == [(101, "frog"), (102, "truck")]


def test_of_files_of_one_name_the_row_s_split_tells() -> None:
    for part, grey in (("training_set", 1), ("test_set", 2)):
        image(Path("set", part, "x.png"), grey)
        image(Path("set", part, "y.png"), grey + 10)
    rows = "x.png,cat,train\ny.png,dog,train\nx.png,cat,test\ny.png,dog,test\n"
    images = load(csv(f"file,label,split\n{rows}", "set/labels.csv"))
    assert seen(images) == [(1, "cat"), (11, "dog"), (2, "cat"), (12, "dog")]


def test_what_lies_where_the_name_says_goes_first() -> None:
    image(Path("photos/old/a.png"), 99)
    assert seen(load(csv("file,label\na.png,cat\nb,dog\n"))) == [(10, "cat"), (20, "dog")]
    image(Path("photos/a.bmp"), 99)
    assert "a may be a.bmp or a.png" in refusal("file,label\na,cat\nb,dog\n")


@pytest.mark.parametrize(
    "name", ["./a.png", "../photos/a.png", "{}/photos/a.png", "..\\photos\\a.png", " a.png ", "a"]
)
def test_a_file_may_be_named_in_many_ways(name: str, tmp_path: Path) -> None:
    images = load(csv(f"file,label\n{name.format(tmp_path)},cat\nb.png,dog\n"))
    assert seen(images) == [(10, "cat"), (20, "dog")]
    assert images.files.tolist() == ["a.png", "b.png"]


def test_files_may_lie_outside_of_the_folder_and_have_no_ending(tmp_path: Path) -> None:
    image(tmp_path / "x", 77)
    images = load(csv(f"file,label\n../x,cat\n{tmp_path}/photos/b.png,dog\n"))
    assert seen(images) == [(77, "cat"), (20, "dog")]
    assert f"outside of photos: 1 image: {tmp_path}/x" in images.notes


def test_images_names_the_folder_from_here_or_from_the_table(tmp_path: Path) -> None:
    table = csv("file,label\na.png,cat\nb.png,dog\n", "elsewhere/labels.csv")
    image(tmp_path / "elsewhere/own/a.png", 1)
    image(tmp_path / "elsewhere/own/b.png", 2)
    assert seen(load(table, images="photos")) == [(10, "cat"), (20, "dog")]
    assert seen(load(table, images="own")) == [(1, "cat"), (2, "dog")]
    with pytest.raises(DataNotFoundError, match=r"data\.images: there is no folder gone"):
        load(table, images="gone")
    assert refusal("file,label\nx.png,cat\ny.png,dog\n", "elsewhere/other.csv") == (
        "elsewhere/other.csv: none of its 2 files is in elsewhere, not 'x.png' nor any other; "
        "name the folder of the images with data.images"
    )


def test_names_in_either_unicode_form_with_spaces_and_line_breaks() -> None:
    image(Path("photos/e\u0301 té.png"), 1)  # as macOS writes it, and mixed
    image(Path("photos/two\nlines.png"), 2)
    images = load(csv('file,label\n"\u00e9 te\u0301",Ka\u0308fer\n"two\nlines.png",dog\n'))
    assert seen(images) == [(2, "dog"), (1, "K\u00e4fer")][::-1]


def test_missing_unlabelled_and_double_rows_are_counted_and_named() -> None:
    images = load(
        csv(
            "file,label\n"
            "a.png,cat\nb.png,dog\ngone.png,dog\n\nc.png,\nd.png, \na,cat\nlost.png,cat\n"
        )
    )
    assert seen(images) == [(10, "cat"), (20, "dog")]
    assert images.notes[1:6] == (
        "file names were completed: 1 in ./",
        "left out (no such file): 2 rows: gone.png (line 4), lost.png (line 9)",
        "left out (no label): 2 images: c.png (line 6), d.png (line 7)",
        "listed again, used once: 1 row: a (line 8)",
        "left out (not in the table): 2 images: e.png, f.png",
    )


def test_an_image_of_a_column_of_nulls_is_unlabelled() -> None:
    rows = [{"file": "a.png", "label": 1.0}, {"file": "b.png", "label": 0.0},
            {"file": "c.png", "label": None}]  # fmt: skip
    Path("photos/labels.parquet").write_bytes(parquet(rows))
    images = load("photos/labels.parquet")
    assert seen(images) == [(10, "1"), (20, "0")]
    assert "left out (no label): 1 image: c.png (row 2)" in images.notes


@pytest.mark.parametrize(
    ("header", "named", "columns"),
    [
        ("Image,Label", {}, "image 'Image', label 'Label'"),
        ("id,class", {}, "image 'id', label 'class'"),
        ("file_name,TARGET", {}, "image 'file_name', label 'TARGET'"),
        ("filename,breed", {"label": "breed"}, "image 'filename', label 'breed'"),
        ("photo,label", {"image": "Photo"}, "image 'photo', label 'label'"),
        ("filename,label,id", {}, "image 'filename', label 'label'"),
        ("file,label,class", {"label": "label"}, "image 'file', label 'label'"),
        ("file,label,weight", {"weight": "none"}, "image 'file', label 'label'"),
        ("file,label,patient", {"group": "patient"},
         "image 'file', label 'label', group 'patient'"),
    ],
)  # fmt: skip
def test_columns_are_recognised_or_named(header: str, named: dict[str, str], columns: str) -> None:
    more = ",1" * (header.count(",") - 1)
    table = csv(f"{header}\na.png,cat{more}\nb.png,dog{more}\n")
    assert load(table, columns=named).notes[0] == f"columns of labels.csv: {columns}"


@pytest.mark.parametrize(
    ("header", "named", "told"),
    [
        ("file,label,class", {},
         "found 2 columns that could hold the labels, 'label' and 'class'; name the one that does "
         "with data.label_column"),
        ("file,path,label", {},
         "found 2 columns that could hold the image files, 'file' and 'path'; name the one that "
         "does with data.image_column"),
        ("file,label,label", {}, "has 2 columns called 'label'; rename or remove all but one"),
        ("file,label,Label", {},
         "found 2 columns that could hold the labels, 'label' and 'Label'; name the one that does "
         "with data.label_column"),
        ("file,breed,x", {},
         "found the columns file, breed, x, none of which is called label, class or target; name "
         "the column of the labels with data.label_column"),
        ("photo,label,x", {},
         "found the columns photo, label, x, none of which is called image, file, filename, path "
         "or id; name the column of the image files with data.image_column"),
        ("file,breed,x", {"label": "bred"},
         "has no column 'bred' (did you mean 'breed'?), found file, breed, x; correct "
         "data.label_column"),
        ("file,label,x", {"label": "none"},
         "has no column 'none', found file, label, x; correct data.label_column"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_told_are_refused(
    header: str, named: dict[str, str], told: str
) -> None:
    rows = "a.png,cat,dog\nb.png,dog,cat\n"
    assert refusal(f"{header}\n{rows}", columns=named) == f"photos/labels.csv: {told}"


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["1", "cat"], ": the label is a number in line 2 (1) and a name in line 3 ('cat'); write "
         "all labels as names, or all as whole numbers"),
        (["1", "1.0"], ": the same label is 1 in line 2 and 1.0 in line 3; write it one way"),
        (["01", "1"], ": the same label is 01 in line 2 and 1 in line 3; write it one way"),
        (["1", "1.5"], ", line 3: found the label '1.5', which is no whole number; give the "
         "classes names or whole numbers"),
        (["cat", "cat"], ": all of its 2 labelled images are of the class 'cat', a classifier "
         "needs at least two classes; add images of another"),
        (["", ""], ": none of its 2 images has a label; fill in the column of the labels, or name "
         "another one with data.label_column"),
    ],
)  # fmt: skip
def test_labels_that_mean_nothing_are_refused(labels: list[str], told: str) -> None:
    text = f"file,label\na.png,{labels[0]}\nb.png,{labels[1]}\n"
    assert refusal(text) == f"photos/labels.csv{told}"


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "9", "1"], ("1", "9", "10")),  # by value
        (["2.0", "1.0", "0.0"], ("0", "1", "2")),  # as pandas writes a column with empty cells
        (["03", "01", "02"], ("01", "02", "03")),
        (["b", "a", "B"], ("B", "a", "b")),
        (["-1", "0", "1"], ("-1", "0", "1")),
    ],
)
def test_classes_are_in_the_order_of_numbers_or_of_text(
    labels: list[str], classes: tuple[str, ...]
) -> None:
    rows = "".join(f"{name}.png,{label}\n" for name, label in zip("abc", labels, strict=True))
    images = load(csv(f"file,label\n{rows}"))
    assert images.classes == classes
    assert images.labels.tolist() == [
        classes.index(label if label in classes else label[:-2]) for label in labels
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ": has no rows; give a table with a row for each image, below the names of its "
         "columns"),
        ("file,label\n", ": has no rows; give a table with a row for each image, below the names "
         "of its columns"),
        ("file,label\na.png\n", ", line 2: found 1 cells separated by commas, the first line has "
         "2; correct the line, or put cells that contain the separator in quotes"),
        ("file,label\na.png,x,y\n", ", line 2: found 3 cells separated by commas, the first line "
         "has 2; correct the line, or put cells that contain the separator in quotes"),
        ('file,label\n"a.png,cat\n', ", line 2: can't be read as cells separated by commas "
         "(unexpected end of data); correct the line"),
        ("file,label\n,cat\n", ", line 2: column 'file' names no file; fill it or remove the row"),
        ("file,label,split\na.png,cat,holdout\n", ", line 2: found the split 'holdout', expected "
         "one of train, validation, test, or nothing; correct it, or set data.split_column to "
         "another column or to none"),
        ("file,label,weight\na.png,cat,-1\n", ", line 2: found the weight '-1', expected a number "
         "of 0 or more; correct it, or set data.weight_column to another column or to none"),
        ("file,label\na.png,cat\nb.png,dog\na.png,dog\n", ": a.png has the label 'cat' in line 2 "
         "and 'dog' in line 4; keep one of the rows"),
        ("file,label,split\na.png,cat,train\nb.png,dog,train\na,cat,test\n", ": a has the split "
         "'train' in line 2 and 'test' in line 4; keep one of the rows"),
    ],
)  # fmt: skip
def test_tables_that_mean_nothing_are_refused(text: str, told: str) -> None:
    assert refusal(text) == f"photos/labels.csv{told}"


@pytest.mark.parametrize("weight", ["nan", "inf", "", "1,5", "heavy"])
def test_a_weight_is_a_number_of_0_or_more(weight: str) -> None:
    told = refusal(f"file;label;weight\na.png;cat;1\nb.png;dog;{weight}\n")
    assert told.startswith(f"photos/labels.csv, line 3: found the weight {weight!r}, expected")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"file": "a.png", "label": "cat"}\n{"file"', ", line 2: invalid JSON ("),
        ('["a.png", "cat"]\n', ", line 1: found ['a.png', 'cat'], expected a JSON object on each "
         'line, such as {"file": "1.png", "label": "cat"}'),
        ('{"file": "a.png", "label": "cat", "label": "dog"}', ", line 1: invalid JSON (the key "
         "'label' twice); correct it"),
        ('{"file": "a.png", "label": ["cat", "dog"]}', ", line 1: column 'label' holds ['cat', "
         "'dog'], expected text or a number"),
        ("[" * 100_000, ", line 1: invalid JSON ("),
        ("\n\n", ": has no rows"),
    ],
)  # fmt: skip
def test_json_lines_that_mean_nothing_are_refused(text: str, told: str) -> None:
    assert refusal(text, "photos/labels.jsonl").startswith(f"photos/labels.jsonl{told}")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_table_in_another_encoding_is_refused(encoding: str) -> None:
    csv("file,label\na.png,K\u00e4fer\nb.png,dog\n", encoding=encoding)
    with pytest.raises(DataError, match=r"photos/labels\.csv: is not text in UTF-8 .* save it in"):
        load()


def test_a_parquet_file_that_holds_images_is_read_as_before() -> None:
    content = [Path(f"photos/{name}.png").read_bytes() for name in "ab"]
    rows = [{"image": content[k], "label": "xy"[k], "file": "c.png"} for k in range(2)]
    Path("photos/images.parquet").write_bytes(parquet(rows))
    assert seen(load("photos/images.parquet")) == [(10, "x"), (20, "y")]
    with pytest.raises(ConfigError, match=r"data\.label_column: photos/images\.parquet is not a"):
        load("photos/images.parquet", columns={"label": "file"})


def test_a_parquet_column_of_categories_is_text() -> None:
    table = pa.table({
        "image": pa.array(["a.png", "b.png"]).dictionary_encode(),
        "label": pa.array(["x", "y"]).dictionary_encode(),
    })  # fmt: skip
    pq.write_table(table, "photos/labels.parquet")
    assert seen(load("photos/labels.parquet")) == [(10, "x"), (20, "y")]


@pytest.mark.parametrize("source", ["digits", "cifar10", "photos"])
def test_columns_of_what_is_no_table_are_refused(source: str) -> None:
    with pytest.raises(ConfigError, match=rf"data\.group_column: {source} is not a table"):
        load(source, columns={"group": "x"})
    with pytest.raises(ConfigError, match=rf"data\.images: {source} is not a table"):
        load(source, images="photos")


def test_an_unknown_role_is_refused() -> None:
    csv("file,label\na.png,cat\nb.png,dog\n")
    with pytest.raises(ConfigError, match=r"columns: found 'labels' \(did you mean 'label'\?\)"):
        load(columns={"labels": "label"})


def test_files_in_the_folder_of_another_class_are_noted() -> None:
    for k, name in enumerate(("cat/1", "cat/2", "dog/1", "dog/2")):
        image(Path(f"pets/{name}.png"), k)
    rows = "cat/1.png,cat\ncat/2.png,dog\ndog/1.png,dog\n"
    images = load(csv(f"file,label\n{rows}", "pets/labels.csv"))
    assert images.notes[-2] == (
        "1 of 3 images are in the folder of another class than the table gives them: "
        "cat/2.png is dog"
    )
    images = load(csv(f"file,label\n{rows.replace('cat/2.png,dog', 'cat/2.png,cat')}",
                      "pets/labels.csv"))  # fmt: skip
    assert not any("another class" in note for note in images.notes)


def test_what_changes_in_table_or_files_is_seen() -> None:
    table = csv("file,label,weight\na.png,cat,1\nb.png,dog,1\n")
    assert seen(load(table)) == [(10, "cat"), (20, "dog")]
    csv("file,label,weight\na.png,dog,3\nb.png,cat,1\n")
    changed = load(table)
    assert seen(changed) == [(10, "dog"), (20, "cat")]
    assert changed.weights is not None
    assert changed.weights.tolist() == [3, 1]
    image(Path("photos/a.png"), 200)
    assert seen(load(table)) == [(200, "dog"), (20, "cat")]


def test_a_damaged_image_is_named_with_its_row_and_left_out_with_all_it_has() -> None:
    Path("photos/b.png").write_bytes(b"no image")
    rows = "a.png,cat,x,1\nb.png,dog,y,2\nc.png,dog,z,3\n"
    table = csv(f"file,label,group,weight\n{rows}")
    with pytest.raises(DataError, match=r"photos/b\.png \(labels\.csv, line 3\): "):
        load(table)
    corrupt = []
    images = load(table, on_corrupt=lambda place, reason: corrupt.append(place))
    assert corrupt == ["photos/b.png (labels.csv, line 3)"]
    assert seen(images) == [(10, "cat"), (30, "dog")]
    assert images.groups is not None
    assert images.weights is not None
    assert (images.groups.tolist(), images.weights.tolist()) == ([0, 2], [1, 3])


def test_a_damaged_entry_of_the_cache_is_decoded_anew(isolated: Path) -> None:
    table = csv("file,label,weight\na.png,cat,1\nb.png,dog,2\n")
    load(table)
    [entry] = (isolated / "clearsight" / "decoded").iterdir()
    np.save(entry / "weights.npy", np.array([1.0, 200.0]))
    images = load(table)
    assert images.weights is not None
    assert images.weights.tolist() == [1, 2]
    meta = json.loads((entry / "meta.json").read_text())
    (entry / "meta.json").write_text(json.dumps(meta | {"optional": []}))
    again = load(table)
    assert again.weights is not None


def test_the_order_of_rows_and_the_format_change_no_split() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for k in range(60):
        pixels = rng.integers(0, 256, (4, 4, 3), np.uint8)
        path = Path(f"many/{k}.png")
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
        rows.append({"file": f"{k}.png", "label": "xyz"[k % 3], "group": f"g{k // 5}"})
    Path("many/one.csv").write_bytes(delimited(rows, ","))
    Path("many/two.jsonl").write_bytes(json_lines(rows[::-1]))
    one, two = load("many/one.csv"), load("many/two.jsonl")
    config = DataConfig(validation=0.2, test=0.2)
    first, second = split(one, config), split(two, config)
    for part in ("train", "validation", "test"):
        found = one.ids[getattr(first, part)].tolist()
        assert found == two.ids[getattr(second, part)].tolist()
        assert found


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_among_the_files_is_no_such_file() -> None:
    os.mkfifo("photos/pipe")
    images = load(csv("file,label\na.png,cat\nb.png,dog\npipe,dog\n"))
    assert "left out (no such file): 1 row: pipe (line 4)" in images.notes


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_a_pipe_in_place_of_the_table_is_refused_and_not_waited_for(suffix: str) -> None:
    os.mkfifo(f"photos/labels.{suffix}")
    with pytest.raises(DataError, match=rf"photos/labels\.{suffix}: is (a named pipe|no regular)"):
        load(f"photos/labels.{suffix}")


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ((2, 0.5), "weights from 0.5 to 2 multiply the training loss of the images"),
        ((2, 2), "all images have the weight 2, which is as if they had none"),
    ],
)
def test_what_weights_do_is_said(weights: tuple[float, float], told: str) -> None:
    table = csv(f"file,label,weight\na.png,cat,{weights[0]}\nb.png,dog,{weights[1]}\n")
    assert told in load(table).notes

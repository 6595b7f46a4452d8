"""Corrected labels: read, applied to the images, and refused in one sentence."""

from pathlib import Path

import numpy as np
import pytest

from clearsight.config.schema import DataConfig
from clearsight.data.images import ImageSet
from clearsight.data.relabelling import read_corrections, relabel
from clearsight.data.splits import from_manifest, has_hash, manifest, split
from clearsight.errors import ClearsightError, DataError
from tests.conftest import make_images


def file(folder: Path, *rows: str, head: str = "id,file,label") -> Path:
    path = folder / "corrected.csv"
    path.write_text("\n".join([head, *rows, ""]), encoding="utf-8")
    return path


def ids(images: ImageSet) -> list[str]:
    return [name.decode() for name in images.ids.tolist()]


def corrected(images: ImageSet, folder: Path, *rows: str, **options: str) -> ImageSet:
    return relabel(images, read_corrections(file(folder, *rows, **options)))


def test_labels_are_corrected_and_the_source_ones_kept(tmp_path: Path, images: ImageSet) -> None:
    name = ids(images)
    found = corrected(images, tmp_path, f"{name[4]},a.png,class0", f"{name[0]},b.png,class0")
    assert images.labels[[0, 4]].tolist() == [0, 1]
    assert found.labels[[0, 4]].tolist() == [0, 0]
    assert (found.labels != images.labels).sum() == 1  # the other was class0 already
    assert found.uncorrected().labels.tolist() == images.labels.tolist()
    assert found.corrected(np.arange(120)) == 1
    assert found.corrected(np.array([0, 1])) == 0
    assert images.corrected(np.arange(120)) == 0
    # The file is the truth, however often it is applied.
    assert relabel(found, read_corrections(file(tmp_path))).labels.tolist() == (
        images.labels.tolist()
    )


def test_an_edited_list_of_all_images_is_such_a_file(tmp_path: Path, images: ImageSet) -> None:
    rows = [
        f"{name},x,{images.classes[k]},{'class2' if k == 1 else images.classes[k]},0.5"
        for name, k in zip(ids(images), images.labels, strict=True)
    ]
    found = corrected(images, tmp_path, *rows, head="\ufeffid,file,given,label,score")
    assert np.bincount(found.labels).tolist() == [40, 0, 80]


def test_corrections_move_no_image_to_another_part(tmp_path: Path, images: ImageSet) -> None:
    config = DataConfig(validation=0.2, test=0.2, subset=60)
    before = split(images, config)
    rows = [f"{name},,class0" for name in ids(images)[1:30]]
    found = corrected(images, tmp_path, *rows)
    after = split(found, config)
    for part in ("train", "validation", "test"):
        assert getattr(after, part).tolist() == getattr(before, part).tolist()
    kept = manifest(found, after, config)
    assert kept["hash"] != manifest(images, before, config)["hash"]
    assert from_manifest(found, kept).train.tolist() == before.train.tolist()
    assert has_hash(found, after, config, kept["hash"])
    with pytest.raises(DataError, match="have another label now"):
        from_manifest(images, kept)


def test_a_class_that_is_left_without_training_images_is_refused(tmp_path: Path) -> None:
    images = make_images(30)
    rows = [f"{n},,class0" for n, k in zip(ids(images), images.labels, strict=True) if k == 2]
    with pytest.raises(DataError, match=r"class 'class2', with 0 images in all, has none in train"):
        split(corrected(images, tmp_path, *rows), DataConfig())


@pytest.mark.parametrize(
    ("head", "rows", "message"),
    [
        ("id,suggested", ["a,b"], "lacks the column label, found id, suggested; give the file"),
        ("file", ["a"], "lacks the column id and label, found file"),
        ("id;label", ["a;b"], "lacks the column id and label, found id;label; .* by commas"),
        ("id,label", ["a,cat", "b,"], "row 3 has no label; fill it in or remove the row"),
        ("id,label", [" ,cat"], "row 2 has no id"),
        ("id,label", ["a,cat", "b,cat", "a,cat"], "row 4 has the id 'a' for the second time"),
        ("id,label", ["a,cat,dog"], "row 2 has not as many cells as the first"),
        ("id,label", ["a"], "row 2 has not as many cells as the first"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(
    tmp_path: Path, head: str, rows: list[str], message: str
) -> None:
    with pytest.raises(ClearsightError, match=rf"corrected\.csv: {message}") as caught:
        read_corrections(file(tmp_path, *rows, head=head))
    assert "\n" not in str(caught.value)


def test_what_the_images_do_not_have_is_refused(tmp_path: Path, images: ImageSet) -> None:
    name = ids(images)[0]
    with pytest.raises(DataError, match=r"2 of its 3 ids are not among the images of bands, the"):
        corrected(images, tmp_path, f"{name},,class0", "abc,,class0", "def,,class0")
    with pytest.raises(DataError, match=r"'clas0' .*\(did you mean 'class0'\?\), expected one of"):
        corrected(images, tmp_path, f"{name},,clas0")
    with pytest.raises(ClearsightError, match=r"missing\.csv: can't be read .*check the path"):
        read_corrections(tmp_path / "missing.csv")


def test_class_names_are_compared_in_one_normal_form(tmp_path: Path) -> None:
    from dataclasses import replace

    images = replace(make_images(6), classes=("caf\u00e9", "1", "a,b"))
    first, second, third = ids(images)[:3]
    found = corrected(images, tmp_path, f"{third},,cafe\u0301", f"{first},,1", f'{second},,"a,b"')
    assert found.labels[:3].tolist() == [1, 2, 0]

"""Features in a table, and the images most like one: from Python and from the command line."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.neighbors import NearestNeighbors

import clearsight
from clearsight.cli import main
from clearsight.data.sources import load_images
from clearsight.errors import BundleError, DataError, UsageError
from clearsight.workflows import embed as module

BUNDLES = Path(__file__).parents[1] / "bundle"
BUNDLE = BUNDLES / "v2"  # of digits, 32 px


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty digits as PNG files without labels, two of them in a folder below."""
    folder = tmp_path / "photos"
    for k, pixels in enumerate(load_images("digits").images[:20]):
        path = folder / ("more" if k < 2 else "") / f"{k:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """The same as a data set of two classes: odd and even."""
    for k, pixels in enumerate(load_images("digits").images[:20]):
        path = tmp_path / "parity" / ("odd" if k % 2 else "even") / f"{k:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "parity"


def features(path: Path) -> np.ndarray:
    return np.stack(pq.read_table(path)["features"].to_numpy())


def test_every_image_has_its_features_name_and_label(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS", 7)  # three pieces
    out = tmp_path / "new" / "emb.parquet"
    found = clearsight.embed(BUNDLE, labelled, out)
    table = pq.read_table(out)
    assert found == {"features": str(out), "n": 20, "dimensions": 16}
    assert table.column_names == ["id", "file", "part", "label", "features"]
    files = table["file"].to_pylist()
    assert files == [f"even/{k:02}.png" for k in range(0, 20, 2)] + [
        f"odd/{k:02}.png" for k in range(1, 20, 2)
    ]
    assert table["label"].to_pylist() == ["even"] * 10 + ["odd"] * 10
    assert table["part"].to_pylist() == [None] * 20
    expected = clearsight.load(BUNDLE).features([labelled / file for file in files])
    np.testing.assert_allclose(features(out), expected, rtol=1e-5)
    images = clearsight.load_images(str(labelled))
    assert table["id"].to_pylist() == [name.decode() for name in images.ids]


def test_both_engines_give_the_same_features(photos: Path, tmp_path: Path) -> None:
    for engine in ("onnx", "torch"):
        clearsight.embed(BUNDLE, photos, tmp_path / f"{engine}.parquet", engine=engine)
    by_onnx, by_torch = (features(tmp_path / f"{engine}.parquet") for engine in ("onnx", "torch"))
    np.testing.assert_allclose(by_onnx, by_torch, atol=1e-3)


def test_images_without_labels_have_none(photos: Path, tmp_path: Path) -> None:
    clearsight.embed(BUNDLE, photos, tmp_path / "emb.parquet")
    table = pq.read_table(tmp_path / "emb.parquet")
    assert table["label"].to_pylist() == [None] * 20
    assert table["file"].to_pylist()[-2:] == ["more/00.png", "more/01.png"]


def test_the_most_similar_are_those_of_scikit_learn(photos: Path, tmp_path: Path) -> None:
    clearsight.embed(BUNDLE, photos, tmp_path / "emb.parquet")
    files = pq.read_table(tmp_path / "emb.parquet")["file"].to_pylist()
    asked = files.index("05.png")
    oracle = NearestNeighbors(metric="cosine").fit(features(tmp_path / "emb.parquet"))
    distances, rows = oracle.kneighbors(features(tmp_path / "emb.parquet")[asked : asked + 1], 6)
    sheet = tmp_path / "sheet.png"
    found = clearsight.similar(BUNDLE, photos / "05.png", photos, count=6, out=sheet)
    assert [row["file"] for row in found] == [files[k] for k in rows[0]]
    np.testing.assert_allclose([row["similarity"] for row in found], 1 - distances[0], atol=1e-5)
    assert (found[0]["file"], found[0]["label"], found[0]["part"]) == ("05.png", None, None)
    with Image.open(sheet) as image:
        assert image.width > 1000
    assert len(clearsight.similar(BUNDLE, photos / "05.png", photos, count=50)) == 20


def test_nothing_is_written_where_something_is_wrong(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "emb.parquet"
    with pytest.raises(UsageError, match=r"out: found emb\.csv, expected the name of a \.parquet"):
        clearsight.embed(BUNDLE, photos, "emb.csv")
    with pytest.raises(BundleError, match="its graph gives none"):
        clearsight.embed(BUNDLES / "v1", photos, out)
    with pytest.raises(BundleError, match="its graph gives none"):
        clearsight.similar(BUNDLES / "v1", photos / "05.png", photos)
    with pytest.raises(UsageError, match="count: found 0, expected 1 or more"):
        clearsight.similar(BUNDLE, photos / "05.png", photos, count=0)
    with pytest.raises(DataError, match=r"missing\.png: can't be read"):
        clearsight.similar(BUNDLE, photos / "missing.png", photos)
    (photos / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png: is no PNG"):
        clearsight.embed(BUNDLE, photos, out)
    assert not list(tmp_path.glob("*emb*"))


def test_the_commands_print_what_they_found(
    photos: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, image = tmp_path / "emb.parquet", str(photos / "05.png")
    assert main(["embed", str(BUNDLE), str(labelled), "--out", str(out)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("features of 20 images, 16 numbers each, in")
    assert main(["similar", str(BUNDLE), image, str(labelled), "--count", "2"]) == 0
    head, first, _ = capsys.readouterr().out.splitlines()
    assert head.split() == ["similarity", "label", "file"]
    assert first.split() == ["1.000", "odd", "odd/05.png"]
    assert main(["similar", str(BUNDLE), image, str(photos), "--count", "1"]) == 0
    head, first = capsys.readouterr().out.splitlines()
    assert (head.split(), first.split()) == (["similarity", "file"], ["1.000", "05.png"])
    assert main(["embed", str(BUNDLE), str(photos)]) == 2
    assert "--out" in capsys.readouterr().err


def test_a_file_that_cannot_be_used_is_named_and_the_rest_goes_on(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "broken.png").write_bytes(b"no image")
    words = [str(BUNDLE), str(photos), "--out", str(tmp_path / "emb.parquet")]
    assert main(["embed", *words]) == 1
    assert "broken.png: is no PNG" in capsys.readouterr().err
    assert len(features(tmp_path / "emb.parquet")) == 20
    image = str(photos / "05.png")
    assert main(["similar", str(BUNDLE), image, str(photos), "--json", "--count", "1"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [row["file"] for row in found["similar"]] == ["05.png"]
    assert [Path(row["file"]).name for row in found["errors"]] == ["broken.png"]
    assert main(["similar", str(BUNDLE), image, str(photos), "--strict"]) == 1
    assert capsys.readouterr().out == ""

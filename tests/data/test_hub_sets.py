"""Data sets of the Hugging Face hub, which a server on this machine plays."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from clearsight.data.sources import find_source, load_images
from clearsight.errors import ConfigError, DataError, DataNotFoundError
from tests.bundle.stand_in import Hub, Repository, sha

CARD: dict[str, Any] = {
    "dataset_info": {
        "features": [
            {"name": "image", "dtype": "image"},
            {"name": "label", "dtype": {"class_label": {"names": {"0": "cat", "1": "dog"}}}},
        ]
    }
}


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), value).save(file, "PNG")
    return file.getvalue()


def parquet(labels: list[int], *, names: tuple[str, ...] = ("cat", "dog"), first: int = 0) -> bytes:
    images = [{"bytes": png(first + i), "path": f"{first + i}.png"} for i in range(len(labels))]
    table = pa.table({"image": images, "label": labels})
    if names:
        features = {"label": {"names": list(names), "_type": "ClassLabel"}}
        about = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": about})
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def publish(hub: Hub, files: dict[str, bytes], card: dict[str, Any] | None = None) -> None:
    hub.repositories["anna/pets"] = Repository(card=card or {}, branches={"main": files})


FILES = {
    "README.md": b"# Pets",
    "data/train-00000-of-00002.parquet": parquet([0, 1]),
    "data/train-00001-of-00002.parquet": parquet([1, 0], first=10),
    "data/validation-00000-of-00001.parquet": parquet([0, 1], first=20),
    "data/test-00000-of-00001.parquet": parquet([-1, -1], first=30),
}


def test_a_data_set_is_downloaded_once(hub: Hub) -> None:
    publish(hub, FILES)
    images = load_images("hf://anna/pets", size=8)
    assert images.name == "pets"
    assert images.classes == ("cat", "dog")
    assert images.labels.tolist() == [0, 1, 1, 0, 0, 1]
    assert images.parts.tolist() == ["train"] * 4 + ["validation"] * 2
    assert images.files[2] == "10.png"
    assert f"revision {sha('main')} of hf://anna/pets" in images.notes
    assert "left out (label -1: without a label): 2 of test" in images.notes
    assert not any("README" in path for path in hub.asked)
    fetched = [path for path in hub.asked if path.startswith("GET /datasets")]
    assert len(fetched) == 4
    assert load_images("hf://datasets/anna/pets", size=8).ids.tolist() == images.ids.tolist()
    assert [path for path in hub.asked if path.startswith("GET /datasets")] == fetched


def test_a_revision_and_a_folder_of_it(hub: Hub) -> None:
    publish(hub, FILES)
    branches = hub.repositories["anna/pets"].branches
    branches["refs/convert/parquet"] = {
        "default/train/0000.parquet": parquet([0, 1]),
        "other/train/0000.parquet": parquet([1, 1, 0]),
    }
    address = "hf://anna/pets@refs/convert/parquet"
    with pytest.raises(DataError, match=r"several data sets, in default/, other/; name one"):
        find_source(address)
    assert find_source(f"{address}/other").read().labels.tolist() == [1, 1, 0]
    with pytest.raises(DataError, match="holds no parquet files in third/ at revision"):
        find_source(f"{address}/third")


def test_without_a_network_what_was_downloaded_is_used(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    publish(hub, FILES)
    before = find_source("hf://anna/pets")
    hub.broken["anna/pets"] = 503
    away = find_source("hf://anna/pets")
    assert away.fingerprint == before.fingerprint
    assert any("as downloaded before" in note and "503" in note for note in away.notes)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_source("hf://anna/pets").fingerprint == before.fingerprint
    assert find_source("hf://anna/pets", download=False).fingerprint == before.fingerprint
    with pytest.raises(DataNotFoundError, match=r"HF_HUB_OFFLINE.*was not downloaded before"):
        find_source("hf://anna/pets@v2")


def test_a_hub_that_is_away_is_one_sentence(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # where nothing listens
    with pytest.raises(
        DataNotFoundError,
        match=r"^data hf://anna/pets: the Hugging Face hub can't be reached .*connect to the net",
    ):
        find_source("hf://anna/pets")


def test_a_download_that_breaks_off_is_one_sentence_and_goes_on_later(hub: Hub) -> None:
    publish(hub, FILES)
    hub.broken["train-00001-of-00002.parquet"] = 404
    with pytest.raises(DataNotFoundError, match=r"pets: data/train-00001.*status 404"):
        find_source("hf://anna/pets")
    with pytest.raises(DataNotFoundError, match="of its 4 files were not downloaded before"):
        find_source("hf://anna/pets", download=False)
    hub.broken.clear()
    assert len(find_source("hf://anna/pets").read().labels) == 6


def test_a_file_that_is_not_what_was_announced_is_not_kept(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.bundle import stand_in

    publish(hub, FILES)
    true = stand_in.about
    monkeypatch.setattr(stand_in, "about", lambda path, content: true(path, content[:-1] + b"?"))
    with pytest.raises(DataError, match=r"arrived with other content than the hub announced"):
        find_source("hf://anna/pets")
    monkeypatch.setattr(stand_in, "about", true)
    assert len(find_source("hf://anna/pets").read().labels) == 6


def test_class_names_of_the_card(hub: Hub) -> None:
    files = {"train.parquet": parquet([0, 1, -1], names=()), "test.parquet": parquet([1], names=())}
    publish(hub, files, CARD)
    records = find_source("hf://anna/pets").read()
    assert records.classes == ("cat", "dog")
    assert records.labels.tolist() == [1, 0, 1]  # by the names of the files
    assert records.parts.tolist() == ["test", "train", "train"]


@pytest.mark.parametrize(
    "card",
    [{}, {"dataset_info": "?"},
     {"dataset_info": [{"features": [{"name": "label", "dtype": "int64"}]}]},
     {"dataset_info": {"features": {"label": 1}}},
     {"dataset_info": {"features": [{"name": "label", "dtype": {"class_label": []}}]}}],
)  # fmt: skip
def test_cards_without_class_names(hub: Hub, card: dict[str, Any]) -> None:
    publish(hub, {"train.parquet": parquet([3, 5], names=())}, card)
    assert find_source("hf://anna/pets").read().classes == ("3", "5")


def test_what_is_not_there_is_one_sentence(hub: Hub) -> None:
    with pytest.raises(DataNotFoundError, match=r"hf://anna/none: the hub has no such data set"):
        find_source("hf://anna/none")
    publish(hub, {"cat/1.png": png(1)})
    with pytest.raises(DataNotFoundError, match="the hub has no such revision of it"):
        find_source("hf://anna/pets@v9")
    with pytest.raises(DataError, match=r"holds no parquet files at .*@refs/convert/parquet"):
        find_source("hf://anna/pets")
    publish(hub, {"train.parquet": parquet([-1, -1])})
    with pytest.raises(DataError, match="none of its 2 rows has a label"):
        find_source("hf://anna/pets").read()


@pytest.mark.parametrize(
    "address",
    ["hf://", "hf://pets", "hf://anna/", "hf://anna/pets@", "hf://a b/c", "hf://../pets",
     "hf://anna/pets@../x"],
)  # fmt: skip
def test_what_is_no_address_is_one_sentence(address: str) -> None:
    with pytest.raises(DataError, match="is no address of a data set on the hub; write it as"):
        find_source(address)


def test_the_fields_of_a_table_say_nothing_of_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.images: hf://anna/pets is not a table"):
        find_source("hf://anna/pets", images=tmp_path)

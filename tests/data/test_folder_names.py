"""Names of classes, folders and files as systems and people write them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clearsight.data.folders import folder_source
from clearsight.data.names import decoded, printable
from clearsight.errors import DataError
from tests.conftest import fill


@pytest.mark.parametrize(("one", "same"), [("caf\u00e9", "cafe\u0301"), ("cat", "cat "),
                                           ("cat", " cat"), ("cat", "cat\u00a0")])  # fmt: skip
def test_names_of_classes_are_normalised(tmp_path: Path, one: str, same: str) -> None:
    fill(tmp_path, f"train/{one}/1.png", "train/dog/1.png", f"test/{same}/1.png", "test/dog/1.png")
    records = folder_source(tmp_path).read()
    assert records.classes == (one, "dog")
    assert records.labels.tolist() == [0, 1, 0, 1]
    fill(tmp_path, f"train/{same}/2.png")
    with pytest.raises(DataError, match=f"train: found the class '{one}' more than once"):
        folder_source(tmp_path)


def test_case_tells_classes_apart(tmp_path: Path) -> None:
    fill(tmp_path, "Cat/1.png", "cat/1.png")
    assert folder_source(tmp_path).read().classes == ("Cat", "cat")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("  ", "is empty"), ("a\nb", "control characters"), ("caf\udce9", "not valid UTF-8")],
)  # fmt: skip
def test_unusable_names_of_classes_are_refused_in_a_line(
    tmp_path: Path, name: str, reason: str
) -> None:
    fill(tmp_path, f"{name}/1.png", "dog/1.png")
    with pytest.raises(DataError, match=reason) as caught:
        folder_source(tmp_path)
    assert str(caught.value).isprintable()


ODD = ["caf\udce9.png", "a\nb.png", "100%.png", "what?.png", "it's \"x\".png", "-rf.png",
       "\ufeff1.png", "$x$.png", f"{'l' * 250}.png", "日本.png"]  # fmt: skip


def test_odd_file_names_are_read_and_named_in_one_line(tmp_path: Path) -> None:
    fill(tmp_path, *(f"cat/{name}" for name in ODD), *(f"日本 %s $/{name}" for name in ODD))
    records = folder_source(tmp_path).read()
    assert records.classes == ("cat", "日本 %s $")
    assert all(path.is_file() for path in records.images if isinstance(path, Path))
    named = [records.locate(i) for i in range(len(ODD))]
    assert len(set(named)) == len(ODD)
    assert all(name.isprintable() for name in named)
    assert rf"{tmp_path}/cat/a\nb.png" in named
    assert f"{tmp_path}/cat/日本.png" in named


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_names_mean_the_same_in_every_locale(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    # What Python does in such a locale; the machine may not have one.
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode(encoding, "surrogateescape"))
    for encoded in (b"caf\xc3\xa9", "日本".encode()):
        name = encoded.decode(encoding, "surrogateescape")
        assert decoded(name) == printable(name) == encoded.decode()
    name = b"caf\xe9".decode(encoding, "surrogateescape")
    assert printable(name) == {"latin-1": "café", "utf-8": r"caf\udce9"}[encoding]


def test_names_mean_the_same_in_an_ascii_locale(tmp_path: Path) -> None:
    fill(tmp_path, "café/日本.png", "dog/1.png")
    code = (
        "import sys; from pathlib import Path; from clearsight.data.folders import folder_source;"
        "records = folder_source(Path(sys.argv[1])).read();"
        "print(sys.getfilesystemencoding(), ascii(records.classes), ascii(records.locate(0)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, encoding="ascii", check=True,
        env=os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ).stdout.split(" ", 1)  # fmt: skip
    assert told[0] != "utf-8"
    assert told[1] == f"{('café', 'dog')!a} {str(tmp_path / 'café' / '日本.png')!a}\n"

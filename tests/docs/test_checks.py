"""Every kind of drift, planted and found with file and line; and true pages that pass."""

import hashlib
from pathlib import Path

import pytest

from clearsight.config.recipes import load_recipe, to_table
from clearsight.ledger import shipped_hash, write_entry
from tools.docs.checks import check_documents
from tools.docs.commands import command_problem


def check(page: Path, text: str) -> list[str]:
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    root = page.parents[1]
    return check_documents(
        [page], results=root / "results", root=root, command_problem=command_problem
    )


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page in docs of a repository with a Makefile, a ledger and a figure of its entry."""
    (tmp_path / "Makefile").write_text("test: x  ## run\n\techo\n", encoding="utf-8")
    figure = tmp_path / "docs" / "figures" / "one" / "per_class.png"
    figure.parent.mkdir(parents=True)
    figure.write_bytes(b"picture")
    digest = hashlib.sha256(b"picture").hexdigest()
    entry = {
        "name": "one", "kind": "runs", "recipe": "digits", "recipe_hash": shipped_hash("digits"),
        "shipped_recipe": True, "n": 180, "tta": "none",
        "config": to_table(load_recipe("digits")),
        "runs": [{"figures": {"per_class.png": digest}}],
    }  # fmt: skip
    write_entry(tmp_path / "results" / "one.json", entry)
    return tmp_path / "docs" / "page.md"


TRUE = """\
# A page

## The `second` heading, longer

n = <!-- results:one:n -->180<!-- /results -->, ![classes](figures/one/per_class.png)

```sh
make test    # make what you like
clearsight train digits --phases.1.lr 0.1 --budget 5m
find . -name '*.png' | clearsight predict my-model - \\
    --csv > out.csv
```

Say `clearsight train --resume`, `clearsight registry`, or `clearsight COMMAND --help`; see
[above](#the-second-heading-longer), [itself](page.md#a-page), [elsewhere](https://example.org/x)
and `docs/page.md`, but not `[this](nowhere.md)`. In Python, `clearsight.load("x", engine="onnx")`.

```python
import clearsight

print(clearsight.load("my-model"))
```

```text
clearsight nonsense
```
"""


def test_a_true_page_has_no_problems(page: Path) -> None:
    assert check(page, TRUE) == []


@pytest.mark.parametrize(
    ("true", "false", "line", "message"),
    [
        (">180<", ">181<", 5, "found 'n = "),
        ("figures/one/", "figures/two/", 5, "link to figures/two/per_class.png: no such file"),
        ("per_class.png", "gone.png", 5, "link to figures/one/gone.png: no such file"),
        ("make test", "make tests", 8, "the Makefile has no such target"),
        ("train digits", "trian digits", 9, "no command 'trian' (did you mean 'train'?)"),
        ("--phases.1.lr", "--phases.1.rate", 9, "no flag --phases.1.rate"),
        ("--budget 5m", "--budget", 9, "--budget requires an argument"),
        ("--csv >", "--cvs >", 10, "no flag --cvs (did you mean '--csv'?)"),
        ("train --resume`", "train --again`", 14, "no flag --again"),
        ("`clearsight registry`", "`clearsight registri`", 14, "no command 'registri'"),
        ("#the-second", "#the-third", 15, "no heading for #the-third-heading-longer"),
        ("](page.md#", "](pages.md#", 15, "link to pages.md#a-page: no such file"),
        ("`docs/page.md`", "`docs/pages.md`", 16, "`docs/pages.md`: no such file"),
        ('engine="onnx"', 'motor="onnx"', 16, "load: got an unexpected keyword argument 'motor'"),
        ("print(clearsight.load(", "print(clearsight.open(", 21, "clearsight has no 'open'"),
        ("n = ", "n = 97 % of ", 5, "the number 97 % is typed"),
        ("180<", "180<!-- /results --><", 5, "marker /results closes no place: none is open"),
    ],
)
def test_each_drift_is_found_with_its_line(
    page: Path, true: str, false: str, line: int, message: str
) -> None:
    assert true in TRUE
    [problem] = check(page, TRUE.replace(true, false, 1))
    assert problem.startswith(f"{page}:{line}: ")
    assert message in problem


def test_a_figure_that_is_not_the_run_s_is_found(page: Path) -> None:
    (page.parent / "figures" / "one" / "per_class.png").write_bytes(b"another picture")
    [problem] = check(page, TRUE)
    assert problem.startswith(f"{page}:5: figure figures/one/per_class.png: it is not the file")


def test_a_figure_of_no_recorded_run_is_found(page: Path) -> None:
    figures = page.parent / "figures"
    (figures / "one").rename(figures / "two")
    [problem] = check(page, TRUE.replace("figures/one/", "figures/two/"))
    assert "the ledger has no entry 'two'; copy it from the run's figures" in problem

"""Typed percentages, with and without a source."""

from pathlib import Path

import pytest

from clearsight.ledger import write_entry
from tools.docs.numbers import check_numbers

PAGE = """\
# A page

It reached
48.9 % of them, <!-- results:one:accuracy -->93.25 %<!-- /results --> here.

```sh
echo $((7 % 5))
```
"""
LIST = """\
[[number]]
text = "48.9 %"
files = ["docs/page.md"]
source = "the course project's notebook"

[[number]]
text = "93.25 % with views, 92.3 % without"
files = ["recipes/one.toml"]
ledger = "one"
"""
RECIPE = "# Measured: 93.25 % with\n# views, 92.3 % without.\n[a]\nb = 1  # not 5 of them\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    accuracy = {"flip": {"mean": 0.9325}, "none": {"mean": 0.9234}}
    write_entry(tmp_path / "results" / "one.json", {"kind": "runs", "accuracy": accuracy})
    write(tmp_path, "docs/page.md", PAGE)
    write(tmp_path, "docs/numbers.toml", LIST)
    write(tmp_path, "recipes/one.toml", RECIPE)
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, "utf-8")


def check(root: Path) -> list[str]:
    paths = [root / "docs/page.md", root / "recipes/one.toml"]
    found = check_numbers(paths, results=root / "results", root=root)
    return [problem.removeprefix(f"{root}/") for problem in found]


def test_numbers_with_their_source_pass(root: Path) -> None:
    assert check(root) == []


@pytest.mark.parametrize(
    ("file", "true", "false", "problem"),
    [
        (
            "docs/page.md",
            "# A page",
            "# 91 % of a page",
            "docs/page.md:1: the number 91 % is typed",
        ),
        ("docs/page.md", "here.", "here, from 12.5 to 14%.", ":4: the number 12.5 to 14% is typed"),
        ("docs/page.md", "```sh", "```text", ":7: the number 7 % is typed"),
        ("recipes/one.toml", "# not 5", "# 5 %", "one.toml:4: the number 5 % is"),
        ("docs/numbers.toml", "the course project's notebook", " ", "the source is empty"),
        ("docs/numbers.toml", "source =", "because =", "unknown key 'because'"),
        ("docs/numbers.toml", 'ledger = "one"', 'ledger = "two"', "has no entry 'two'"),
        ("docs/numbers.toml", 'ledger = "one"', "", "expected either a source or an entry"),
    ],
)
def test_each_mistake_is_found(root: Path, file: str, true: str, false: str, problem: str) -> None:
    text = (root / file).read_text("utf-8")
    assert true in text
    write(root, file, text.replace(true, false))
    [found] = check(root)
    assert problem in found


def test_a_number_changed_in_page_or_recipe_is_typed_and_missing_from_its_place(root: Path) -> None:
    write(root, "docs/page.md", PAGE.replace("48.9", "49.8"))
    listed, typed = check(root)
    assert listed == "docs/numbers.toml: '48.9 %': not found in docs/page.md; " + (
        "correct the list"
    )
    assert typed.startswith("docs/page.md:4: the number 49.8 % is typed")


def test_a_number_that_the_ledger_does_not_hold_is_found(root: Path) -> None:
    for file, text in (("docs/numbers.toml", LIST), ("recipes/one.toml", RECIPE)):
        write(root, file, text.replace("93.25", "93.35"))
    assert check(root) == [
        "docs/numbers.toml: '93.35 % with views, 92.3 % without': "
        f"{root / 'results/one.json'} does not hold 93.35 %"
    ]

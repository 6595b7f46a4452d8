"""The shell and Python examples of README and docs, run as they stand.

docs/contributing.md says what lies in their folder, and how a page marks an example that would
take too long.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.data.sources import load_images
from tools.docs.markdown import Block, parse_page, shell_commands

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TRAINING = re.compile(r"clearsight (demo|train (?!--resume))")


def examples(page: Path) -> list[Block]:
    blocks = parse_page(page.read_text(encoding="utf-8")).blocks
    return [block for block in blocks if block.language in ("sh", "python")]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """`my-model`, `photo.png`, `photo.jpg`, `photos/` and `pets/`, as the examples find them."""
    shutil.copytree(ROOT / "tests" / "bundle" / "v2", tmp_path / "my-model")
    shutil.copy(ROOT / "README.md", tmp_path)
    digits = load_images("digits").images
    (tmp_path / "photos").mkdir()
    for k in range(3):
        Image.fromarray(digits[k]).save(tmp_path / "photos" / f"{k}.jpg")
    for name in ("photo.png", "photo.jpg"):
        Image.fromarray(digits[7]).save(tmp_path / name)
    rng = np.random.default_rng(0)
    rows = ["file,breed,owner,weight"]
    for brightness, name in enumerate(("cat", "dog")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for k in range(30):
            breed = {"cat": "siamese", "dog": "beagle"}[name]
            rows.append(f"{name}/{k}.png,{breed},owner {k // 3},{1 - k % 2 / 2}")
            pixels = rng.integers(0, 128, (40, 50, 3), np.uint8) + 100 * brightness
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "pets" / name / f"{k}.png")
    (tmp_path / "pets" / "labels.csv").write_text("\n".join(rows))
    return tmp_path


def script(block: Block) -> str:
    """The block's text with the flags its directive asks for."""
    kind, _, flags = block.directive.partition(";")[0].partition(" ")
    assert kind in ("", "with"), f"line {block.line}: unknown directive {block.directive!r}"
    if block.language == "python":
        return block.text
    commands = [command for _, command in shell_commands(block.text)]
    return "\n".join(
        re.sub(r"\s*(#.*)?$", f" {flags}", command, count=1)
        if TRAINING.match(command) else command
        for command in commands
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_run(page: Path, place: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "TERM": "dumb"}
    for block in examples(page):
        if block.directive.startswith("not run; "):
            continue
        shell = ["bash", "-euo", "pipefail", "-c"]
        program = shell if block.language == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*program, script(block)], cwd=place, env=environment, check=False,
            capture_output=True, encoding="utf-8",
        )  # fmt: skip
        assert done.returncode == 0, f"{page.name}:{block.line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_left_out_or_shortened_says_why(page: Path) -> None:
    for block in examples(page):
        assert not block.directive or re.fullmatch(
            r"(not run|with -.+); \S.{10,}", block.directive
        ), f"{page.name}:{block.line}: {block.directive}"


def test_flags_are_added_to_training_only_and_before_the_comment() -> None:
    text = "clearsight train a --x 1    # why\nclearsight train --resume r\nclearsight runs # all"
    assert script(Block(1, "sh", text, "with --y 2; too long")).splitlines() == [
        "clearsight train a --x 1 --y 2",
        "clearsight train --resume r",
        "clearsight runs # all",
    ]

from tools.docs.markdown import Block, anchors, shell_commands, split_page

PAGE = """\
# Title

<!-- example: not run; it takes an hour -->

```sh
ls
```

text
````python
```
x = 1
````
"""


def test_a_page_is_split_into_blocks_and_the_rest() -> None:
    blocks, prose = split_page(PAGE)
    assert blocks == [
        Block(6, "sh", "ls", "not run; it takes an hour"),
        Block(11, "python", "```\nx = 1", ""),
    ]
    assert (9, "text") in prose
    assert "x = 1" not in dict(prose).values()


def test_headings_in_code_are_no_anchors() -> None:
    assert anchors("# One `two`, three\n```sh\n# no heading\n```\n## [a](b.md) c-d") == {
        "one-two-three",
        "a-c-d",
    }


def test_continued_shell_lines_are_one_command() -> None:
    assert shell_commands("a \\\n  b\n\nc") == [(0, "a    b"), (3, "c")]

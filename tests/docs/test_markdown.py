from tools.docs.markdown import Block, parse_page, shell_commands

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


def test_a_page_has_blocks_with_their_lines_and_directives() -> None:
    assert parse_page(PAGE).blocks == [
        Block(6, "sh", "ls", "not run; it takes an hour"),
        Block(11, "python", "```\nx = 1", ""),
    ]
    [inside] = parse_page("- a list\n\n  ```sh\n  ls\n  ```\n").blocks
    assert (inside.line, inside.text) == (4, "ls")


def test_code_and_links_have_their_lines() -> None:
    page = parse_page("a `b\nc` d `e`\n[f](g.md) `[h](i.md)`\n\n| x |\n| --- |\n| ![y](z.png) |\n")
    assert page.code == [(1, "b c"), (2, "e"), (3, "[h](i.md)")]
    assert page.links == [(3, "g.md"), (7, "z.png")]


def test_headings_in_code_are_no_anchors() -> None:
    assert parse_page("# One `two`, three\n```sh\n# no heading\n```\n## [a](b.md) c-d").anchors == {
        "one-two-three",
        "a-c-d",
    }


def test_continued_shell_lines_are_one_command() -> None:
    assert shell_commands("a \\\n  b\n\nc") == [(0, "a    b"), (3, "c")]

"""What a piece of Python wants of clearsight: found, or named with its line."""

import pytest

from tools.docs.python_code import python_problems


@pytest.mark.parametrize(
    "source",
    [
        "import clearsight\nclearsight.train(clearsight.load_recipe('digits'), out='x')",
        "import clearsight as cs\nmodel = cs.load('x', engine='onnx')\nmodel.anything.at_all(1)",
        "from clearsight.errors import ClearsightError\nraise ClearsightError('x')",
        "import clearsight.errors\nclearsight.errors.DataError",
        "from clearsight import errors\nerrors.DataError",
        "import numpy\nnumpy.nothing_of_the_kind()",
        "import clearsight\nclearsight.train(*some, **more)",
        "import clearsight\nclearsight.train(**more)",
    ],
)
def test_true_code_has_no_problems(source: str) -> None:
    assert python_problems(source) == []


@pytest.mark.parametrize(
    ("source", "line", "problem"),
    [
        ("import clearsight\n\nclearsight.fit('x')", 2, "clearsight has no 'fit'"),
        ("import clearsight as cs\ncs.errors.NoError.x", 1, "clearsight.errors has no 'NoError'"),
        ("from clearsight.errors import NoError", 0, "there is no clearsight.errors.NoError"),
        ("import clearsight.nowhere", 0, "there is no clearsight.nowhere"),
        ("import clearsight\nclearsight.load('x', motor='onnx')", 1, "load: got an unexpected"),
        ("import clearsight\nclearsight.load()", 1, "load: missing a required argument: 'path'"),
        ("import clearsight\nclearsight.load('x', 'onnx', 3)", 1, "load: too many positional"),
        ("import clearsight\nclearsight.load(", 1, "invalid Python"),
    ],
)
def test_each_mistake_is_found_with_its_line(source: str, line: int, problem: str) -> None:
    [(found, text)] = python_problems(source)
    assert found == line
    assert problem in text

import pytest

from clearsight.cli.overrides import take_overrides
from clearsight.errors import UsageError


def test_dotted_flags_are_taken_out_and_the_rest_stays_in_order() -> None:
    tokens = ["train", "resnet20", "--data.size", "64", "--seed", "3", "--phases.0.epochs=2.5"]
    rest, overrides = take_overrides(tokens)
    assert rest == ["train", "resnet20", "--seed", "3"]
    assert overrides == {"data.size": "64", "phases.0.epochs": "2.5"}


def test_the_last_of_two_counts_and_a_value_may_be_empty_or_hold_an_equals_sign() -> None:
    tokens = ["--data.size=8", "--data.size=", "--data.source=a=b", "--training.seed", "-1"]
    _, overrides = take_overrides(tokens)
    assert overrides == {"data.size": "", "data.source": "a=b", "training.seed": "-1"}


def test_hyphens_in_names_are_underscores_but_values_are_left_alone() -> None:
    _, overrides = take_overrides(["--training.label-smoothing", "0.1", "--data.source", "a-b.c"])
    assert overrides == {"training.label_smoothing": "0.1", "data.source": "a-b.c"}


def test_nothing_is_taken_after_two_hyphens_and_no_path_is_a_flag() -> None:
    tokens = ["my.toml", "--out=runs/a.b", "--", "--data.size", "64"]
    assert take_overrides(tokens) == (tokens, {})


@pytest.mark.parametrize("tokens", [["--data.size"], ["--data.size", "--json"]])
def test_a_flag_without_value_is_refused(tokens: list[str]) -> None:
    with pytest.raises(UsageError, match=r"--data\.size: found no value"):
        take_overrides(tokens)

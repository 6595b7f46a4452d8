"""Paired comparison: known p-values and intervals, refusals, and the sentence at the end."""

from dataclasses import replace
from fractions import Fraction
from math import comb, sqrt
from pathlib import Path

import numpy as np
import pytest

from clearsight.config.schema import Config, DataConfig
from clearsight.errors import RunError, UsageError
from clearsight.evaluation.compare import (
    compare_predictions,
    compare_runs,
    holm,
    mcnemar,
    paired_interval,
)
from clearsight.evaluation.predictions import Predictions, write_predictions
from clearsight.files import read_json, write_json
from clearsight.runs import Run, create_run

CLASSES = ("cat", "dog")


def predictions(right: list[int], labels: list[int], ids: str | None = None) -> Predictions:
    """Of images named by one letter each, from whether each is right."""
    names = np.array(list(ids or "abcdefghijklmnopqrstuvwxyz"[: len(labels)]))
    predicted = np.where(np.array(right) == 1, labels, 1 - np.array(labels))
    probabilities = np.eye(2, dtype=np.float32)[predicted]
    return Predictions(
        ids=names,
        files=np.full(len(names), ""),
        labels=np.array(labels),
        probabilities=probabilities,
        classes=CLASSES,
    )


def measured_run(path: Path, each: Predictions, part: str = "test") -> Run:
    run = create_run(path, Config(data=DataConfig(source="pets")), {})
    ids, labels = each.ids.tolist(), each.labels.tolist()
    accuracy = {"value": 0.5, "low": 0.2, "high": 0.8}
    write_json(
        run.evaluation,
        {
            "split": part,
            "tta": "none",
            "accuracy": accuracy,
            "phases": [{"seconds": 61.5}, {"seconds": 2}],
        },
    )
    write_json(run.split, {"parts": {part: {"ids": ids, "labels": labels}}})
    write_predictions(
        run.predictions, each.ids, each.labels, each.probabilities, each.classes, each.files
    )
    return run


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (0, 5, 2 / 32),
        (1, 5, 2 * 7 / 64),  # 1 + 6 of the 64 outcomes at each end
        (6, 0, 2 / 64),
    ],
)
def test_mcnemar_by_hand(only_a: int, only_b: int, p: float) -> None:
    assert mcnemar(only_a, only_b) == pytest.approx(p)


@pytest.mark.parametrize(("only_a", "only_b"), [(12, 30), (150, 199), (2500, 2600), (0, 3000)])
def test_mcnemar_is_twice_the_tail_of_the_binomial(only_a: int, only_b: int) -> None:
    n = only_a + only_b
    tail = sum(Fraction(comb(n, k), 2**n) for k in range(min(only_a, only_b) + 1))
    assert mcnemar(only_a, only_b) == pytest.approx(float(2 * tail), rel=1e-9)
    assert mcnemar(only_b, only_a) == mcnemar(only_a, only_b)


def test_mcnemar_refuses_negative_counts() -> None:
    with pytest.raises(UsageError, match="found -1 and 2"):
        mcnemar(-1, 2)


def test_interval_of_a_published_example() -> None:
    # Fagerland, Lydersen and Laake, "Statistical Analysis of Contingency Tables", 2017, chapter 8.
    low, high = paired_interval(1, 1, 7, 12)
    assert (round(low, 3), round(high, 3)) == (-0.507, -0.026)


def test_interval_by_hand() -> None:
    # 19 and 14 of 41 right: Wilson 0.3206–0.6125 and 0.2156–0.4945. The covariance 14 · 22 is
    # lessened by 41 / 2: φ = 287.5 / √(19 · 22 · 14 · 27) = 0.7233, a difference of 0.12195.
    low, high = paired_interval(14, 5, 0, 22)
    assert (low, high) == pytest.approx((0.0115, 0.2265), abs=5e-5)


def test_interval_turns_over_when_the_two_are_exchanged() -> None:
    low, high = paired_interval(700, 60, 40, 200)
    other_low, other_high = paired_interval(700, 40, 60, 200)
    assert (other_low, other_high) == pytest.approx((-high, -low))


def test_interval_meets_the_simple_one_at_large_n() -> None:
    both, a, b, neither = 90_000, 3_000, 2_700, 4_300
    n = both + a + b + neither
    margin = 1.959964 * sqrt(a + b - (a - b) ** 2 / n) / n
    low, high = paired_interval(both, a, b, neither)
    assert (low, high) == pytest.approx(((a - b) / n - margin, (a - b) / n + margin), abs=1e-4)


@pytest.mark.parametrize("counts", [(10, 0, 0, 0), (0, 0, 0, 10), (0, 10, 0, 0), (5, 0, 0, 5)])
def test_interval_has_a_width_within_bounds_at_the_edges(counts: tuple[int, ...]) -> None:
    low, high = paired_interval(*counts)
    assert -1 <= low < high <= 1


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    chances = np.array([0.8, 0.08, 0.05, 0.07])
    tables = rng.multinomial(300, chances, size=2000)
    hits = sum(low <= 0.03 <= high for low, high in (paired_interval(*map(int, t)) for t in tables))
    assert 0.935 <= hits / 2000 <= 0.97


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_predictions_are_paired_by_id_whatever_their_order() -> None:
    labels = [0, 0, 1, 1]
    a = predictions([1, 1, 1, 0], labels)
    b = predictions([0, 0, 1, 1], [1, 1, 0, 0], ids="dcba")  # a, b right; c, d wrong
    result = compare_predictions(a, b)
    assert (result["both"], result["only_a"], result["only_b"], result["neither"]) == (2, 1, 0, 1)
    assert (result["only_a_ids"], result["only_b_ids"]) == (["c"], [])
    assert result["difference"]["value"] == 0.25
    assert result["p_value"] == 1.0
    assert result["real"] is False
    assert [(row["name"], row["n"], row["only_a"]) for row in result["per_class"]] == [
        ("cat", 2, 0),
        ("dog", 2, 1),
    ]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (predictions([1, 1], [0, 1], ids="ax"), "1 only in the first, 1 only in the second, 1 in"),
        (predictions([1, 1], [0, 0], ids="ab"), "labels of 1 images differ: b is 'dog' and 'cat'"),
        (
            Predictions(
                ids=np.array(["a", "b"]), files=np.array(["", ""]), labels=np.array([0, 1]),
                probabilities=np.eye(2, dtype=np.float32), classes=("cat", "bird"),
            ),
            "class lists differ: class 1 is 'dog' and 'bird'",
        ),
        (
            Predictions(
                ids=np.array(["a", "b"]), files=np.array(["", ""]), labels=np.array([0, 1]),
                probabilities=np.eye(3, dtype=np.float32)[:2], classes=(*CLASSES, "bird"),
            ),
            "class lists differ: 2 and 3 classes",
        ),
    ],
)  # fmt: skip
def test_runs_on_other_images_are_refused(tmp_path: Path, other: Predictions, message: str) -> None:
    first = measured_run(tmp_path / "a", predictions([1, 1], [0, 1], ids="ab"))
    with pytest.raises(RunError, match=message):
        compare_runs([first, measured_run(tmp_path / "b", other)])


def test_runs_measured_on_other_parts_are_refused(tmp_path: Path) -> None:
    each = predictions([1, 1], [0, 1])
    runs = [measured_run(tmp_path / part, each, part) for part in ("test", "validation")]
    with pytest.raises(RunError, match="on its test part, the other on its validation part"):
        compare_runs(runs)


def test_a_refusal_names_what_made_the_images_differ(tmp_path: Path) -> None:
    first = measured_run(tmp_path / "a", predictions([1, 1], [0, 1], ids="ab"))
    second = measured_run(tmp_path / "b", predictions([1, 1], [0, 1], ids="cd"))
    for run, size in ((first, 32), (second, 64)):
        write_json(run.split, read_json(run.split) | {"source": "pets", "size": size})
    with pytest.raises(RunError, match="0 in both; size of the split is 32 and 64; compare"):
        compare_runs([first, second])


def test_predictions_that_are_not_the_manifests_are_refused(tmp_path: Path) -> None:
    run = measured_run(tmp_path / "a", predictions([1, 1], [0, 1]))
    write_json(run.split, {"parts": {"test": {"ids": ["x", "y"], "labels": [0, 1]}}})
    with pytest.raises(RunError, match=r"not the test part of split\.json; `clearsight evaluate"):
        compare_runs([run, run])


def test_unmeasured_runs_and_single_runs_are_refused(tmp_path: Path) -> None:
    run = create_run(tmp_path / "a", Config(), {})
    with pytest.raises(RunError, match="not measured yet"):
        compare_runs([run, run])
    with pytest.raises(UsageError, match="found 1 run"):
        compare_runs([run])


def test_the_sentence_says_whether_the_difference_is_real(tmp_path: Path) -> None:
    labels = [0, 1] * 10
    best = measured_run(tmp_path / "best", predictions([1] * 20, labels))
    same = measured_run(tmp_path / "same", predictions([1] * 19 + [0], labels))
    worst = measured_run(tmp_path / "worst", predictions([1] * 10 + [0] * 10, labels))

    alone = compare_runs([worst, best])
    assert alone["pairs"][0]["p_value"] == pytest.approx(2 / 2**10)
    assert alone["pairs"][0]["sentence"].startswith(
        f"The difference is real: {best.path} beats {worst.path} by 50.00 points (95 % interval +"
    )
    assert "n = 20; McNemar's exact p = 0.002)" in alone["pairs"][0]["sentence"]

    result = compare_runs([best, same, worst])
    close, far = result["pairs"]
    assert close["sentence"].startswith("No real difference between")
    assert (close["real"], far["real"]) == (False, True)
    assert far["p_adjusted"] == pytest.approx(2 * far["p_value"])
    assert "p = 0.004, adjusted for 2 comparisons" in far["sentence"]
    assert [row["run"] for row in result["runs"]] == [str(r.path) for r in (best, same, worst)]
    assert [row["seconds"] for row in result["runs"]] == [63.5] * 3
    assert result["n"] == 20


def test_images_are_named_by_their_files_where_either_run_knows_them() -> None:
    known = replace(
        predictions([0, 1, 1], [0, 1, 0], ids="bca"), files=np.array(["b.png", "c.png", ""])
    )
    unknown = predictions([1, 0, 1], [0, 1, 0], ids="bca")
    for a, b, only_a, only_b in ((known, unknown, "c", "b"), (unknown, known, "b", "c")):
        found = compare_predictions(a, b)
        assert (found["only_a_ids"], found["only_a_files"]) == ([only_a], [f"{only_a}.png"])
        assert (found["only_b_ids"], found["only_b_files"]) == ([only_b], [f"{only_b}.png"])

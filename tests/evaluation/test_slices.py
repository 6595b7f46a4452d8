"""Slices: which images a model is worse at, and when that is more than chance."""

import numpy as np
import pytest
from scipy.stats import fisher_exact

from clearsight.evaluation.slices import (
    evaluate_slices,
    fisher_less,
    holm,
    properties,
    slices_sentence,
)


def images(*colours: tuple[int, int, int]) -> np.ndarray:
    """One image of 4 px per colour, flat."""
    return np.array(colours, np.uint8)[:, None, None, :].repeat(4, 1).repeat(4, 2)


def test_properties_by_hand() -> None:
    checked = np.zeros((1, 4, 4, 3), np.uint8)
    checked[0, ::2, ::2] = checked[0, 1::2, 1::2] = 200
    found = properties(np.concatenate([images((100, 100, 100), (255, 0, 0)), checked]))
    np.testing.assert_allclose(found["brightness"], [100, 76.245, 100], rtol=1e-5)
    np.testing.assert_allclose(found["contrast"], [0, 0, 100], atol=1e-3)
    # The four inner pixels of the chequer: 4 · 200 next to 0, and 0 - 4 · 200 on 200.
    np.testing.assert_allclose(found["sharpness"], [0, 0, 800], atol=1e-3)
    # Red: rg = 255, yb = 127.5, no spread; 0.3 · sqrt(255² + 127.5²).
    np.testing.assert_allclose(
        found["colourfulness"], [0, 0.3 * np.hypot(255, 127.5), 0], atol=1e-3
    )


def test_properties_of_many_images_are_those_of_each(monkeypatch) -> None:
    from clearsight.evaluation import slices

    pixels = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), np.uint8)
    whole = properties(pixels)
    monkeypatch.setattr(slices, "_PIXELS", 130)
    for name, values in properties(pixels).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-6)
    assert all(len(values) == 0 for values in properties(pixels[:0]).values())


def test_fisher_is_that_of_scipy() -> None:
    for missed, size, wrong, n in ((3, 10, 5, 40), (0, 10, 5, 40), (5, 5, 5, 9), (1, 1, 2, 3)):
        table = [[missed, size - missed], [wrong - missed, n - size - wrong + missed]]
        expected = fisher_exact(table, alternative="greater").pvalue
        found = fisher_less(np.array([missed]), np.array([size]), wrong, n)
        assert found[0] == pytest.approx(expected, rel=1e-9)


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03])), [0.06, 0.03, 0.06])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1.0, 1.0])
    assert len(holm(np.empty(0))) == 0


def test_the_worst_significant_slice_is_named() -> None:
    labels = np.arange(400) % 4
    right = np.ones(400, bool)
    right[labels == 2] = np.arange(100) >= 30  # 70 % of class c, all of the others
    found = evaluate_slices(right, labels, "abcd", {}, {})
    assert [row["images"] for row in found["slices"]] == [f"class {name}" for name in "abcd"]
    worst = found["slices"][found["worst"]]
    assert (worst["images"], worst["n"], worst["rest"]) == ("class c", 100, 1.0)
    assert worst["accuracy"]["value"] == 0.7
    assert slices_sentence(found) == (
        "worst slice: class c, accuracy 70.00 % (95 % interval 60.42 to 78.11 %, n = 100), of the "
        "other images 100.00 %; p < 0.001 corrected for 4 slices looked at"
    )


def test_values_are_cut_into_fifths_and_ties_stay_together() -> None:
    right = np.ones(100, bool)
    values = np.arange(100.0)
    found = evaluate_slices(right, np.zeros(100, int), ["a"], {"contrast": values}, {})
    assert [(row["images"], row["n"]) for row in found["slices"]] == [
        ("contrast up to 19", 20), ("contrast over 19 up to 39", 20),
        ("contrast over 39 up to 59", 20), ("contrast over 59 up to 79", 20),
        ("contrast over 79", 20),
    ]  # fmt: skip
    tied = np.where(values < 70, 5.0, values)
    found = evaluate_slices(right, np.zeros(100, int), ["a"], {"contrast": tied}, {})
    assert [row["n"] for row in found["slices"]] == [70, 10, 20]
    sizes = np.where(values < 50, 32.0, np.where(values < 80, 64.0, np.nan))
    found = evaluate_slices(right, np.zeros(100, int), ["a"], {"original size": sizes}, {})
    assert [(row["images"], row["n"]) for row in found["slices"]] == [
        ("original size 32 px", 50), ("original size 64 px", 30),
    ]  # fmt: skip


@pytest.mark.parametrize("right", [np.ones(1, bool), np.zeros(3, bool), np.ones(0, bool)])
def test_too_little_to_say(right: np.ndarray) -> None:
    labels = np.zeros(len(right), int)
    flags = {"near": (np.zeros(len(right), bool), "with", "without")}
    values = {"brightness": np.full(len(right), 3.0), "size": np.full(len(right), np.nan)}
    found = evaluate_slices(right, labels, ["a", "b"], values, flags)
    assert found["slices"] == []
    assert slices_sentence(found) == (
        "no slice is significantly less accurate than the other images (0 slices looked at)"
    )


def test_a_thousand_classes_are_looked_at_quickly() -> None:
    import time

    rng = np.random.default_rng(0)
    labels, right = np.arange(10_000) % 1000, rng.random(10_000) < 0.9
    started = time.process_time()
    found = evaluate_slices(right, labels, [str(k) for k in range(1000)], {}, {})
    assert time.process_time() - started < 2
    assert len(found["slices"]) == 1000
    assert found["worst"] is None


def test_without_an_effect_at_most_one_evaluation_in_twenty_names_a_slice() -> None:
    rng = np.random.default_rng(0)
    n, named = 400, 0
    labels = rng.integers(0, 10, n)
    values = {name: rng.random(n) for name in ("brightness", "contrast")}
    values["sharpness"] = values["contrast"] + 0.1 * rng.random(n)  # slices that overlap
    flags = {"near": (rng.random(n) < 0.1, "with", "without")}
    for _ in range(200):
        right = rng.random(n) < 0.85
        found = evaluate_slices(right, labels, "abcdefghij", values, flags)
        named += found["worst"] is not None
    # 95 % of experiments at exactly 5 % would find at most 15 of 200.
    assert named <= 15

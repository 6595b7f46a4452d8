"""Deletion and insertion by hand; comparisons by their intervals; checks against SciPy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from clearsight.errors import UsageError
from clearsight.explanation.faithfulness import (
    BLOB,
    RANDOM,
    areas,
    baseline_maps,
    compare,
    fractions,
    insertion_deletion,
    paired_interval,
)
from clearsight.explanation.heatmaps import pixel_ranks
from clearsight.explanation.judge import judge, verdict
from clearsight.explanation.sanity import randomisation_check, randomised, rank_correlation
from clearsight.files import read_json, write_json
from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from tests.explanation.small import MEAN, STD, random_images, small_model


class Bright(nn.Module):
    """Two classes: class 0 has the probability of the share of white among the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        share = (images.float().mean((1, 2, 3)) / 255).clamp(1e-6, 1 - 1e-6)
        return torch.stack([share.logit() * self.unit, torch.zeros_like(share)], 1)


def test_curves_are_as_computed_by_hand() -> None:
    # 4 of 16 pixels are white. With a map that ranks them first, and black as reference, all white
    # is in after a quarter of the pixels: the share rises to 1/4 at once, and falls to 0 at once.
    image = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    image[0, 0] = 255
    maps = torch.zeros(1, 4, 4)
    maps[0, 0] = torch.tensor([4.0, 3.0, 2.0, 1.0])
    black = torch.zeros(1, 4, 4, 3)
    inserted, deleted = insertion_deletion(Bright(), image, torch.tensor([0]), maps, black, steps=4)
    moved = (16 * fractions(4)).round()
    assert moved.tolist() == [0, 2, 6, 10, 16]
    torch.testing.assert_close(inserted[0], torch.tensor([0, 2, 4, 4, 4]) / 16, atol=1e-4, rtol=0)
    torch.testing.assert_close(deleted[0], torch.tensor([4, 2, 0, 0, 0]) / 16, atol=1e-4, rtol=0)
    # The worst map puts them last.
    inserted, deleted = insertion_deletion(
        Bright(), image, torch.tensor([0]), -maps, black, steps=4
    )
    torch.testing.assert_close(inserted[0], torch.tensor([0, 0, 0, 0, 4]) / 16, atol=1e-4, rtol=0)
    torch.testing.assert_close(deleted[0], torch.tensor([4, 4, 4, 4, 0]) / 16, atol=1e-4, rtol=0)


def test_many_images_give_what_each_gives_alone() -> None:
    model, images, targets = small_model(), random_images(5), torch.tensor([0, 1, 2, 3, 0])
    maps = torch.rand(5, 16, 16, generator=torch.Generator().manual_seed(0))
    together = areas(model, images, targets, maps, steps=5)
    alone = areas(model, images[3:4], targets[3:4], maps[3:4], steps=5)
    for curve, by_reference in together.items():
        for reference, values in by_reference.items():
            np.testing.assert_allclose(values[3:4], alone[curve][reference], atol=1e-5)


def test_ranks_are_of_values_and_equal_ones_are_no_pattern() -> None:
    maps = torch.tensor([[[0.5, 2.0], [-1.0, 1.0]]])
    assert pixel_ranks(maps).tolist() == [[[1, 3], [0, 2]]]
    flat = pixel_ranks(torch.zeros(2, 8, 8))
    assert torch.equal(flat[0], flat[1])
    assert sorted(flat[0].flatten().tolist()) == list(range(64))
    assert flat[0].flatten().tolist() != list(range(64))


def test_what_beats_both_baselines_surely_is_said_to() -> None:
    rng = np.random.default_rng(0)

    def found(insertion: float, deletion: float) -> dict[str, dict[str, np.ndarray]]:
        return {
            "insertion": {"blur": insertion + 0.01 * rng.standard_normal(50)},
            "deletion": {"blur": deletion + 0.01 * rng.standard_normal(50)},
        }

    baselines = {BLOB: found(0.5, 0.2), RANDOM: found(0.2, 0.2)}
    good = compare(found(0.6, 0.1), baselines)
    assert good["beats"]
    assert good["against"][RANDOM]["deletion"]["blur"]["value"] == pytest.approx(0.1, abs=0.01)
    assert not compare(found(0.6, 0.2), baselines)["beats"]
    few = {curve: {"blur": by["blur"][:5]} for curve, by in found(0.6, 0.1).items()}
    some = {
        name: {curve: {"blur": by["blur"][:5]} for curve, by in baseline.items()}
        for name, baseline in baselines.items()
    }
    assert not compare(few, some)["beats"]
    assert not compare(found(0.4, 0.1), baselines)["beats"]


def test_the_interval_of_paired_differences_covers_the_mean() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        interval = paired_interval(rng.normal(0.1, 1, 60), seed=seed)
        covered += interval["low"] <= 0.1 <= interval["high"]
    assert 180 <= covered <= 198
    assert paired_interval(np.full(5, 0.25)) == {"value": 0.25, "low": 0.25, "high": 0.25}


def test_rank_correlation_agrees_with_scipy_ties_included() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 5, (3, 6, 6)).astype(np.float32) for _ in range(2))
    expected = [
        spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)
    ]
    found = rank_correlation(torch.from_numpy(first), torch.from_numpy(second))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    constant = torch.ones(3, 6, 6)
    assert rank_correlation(torch.from_numpy(first), constant).tolist() == [0, 0, 0]


def test_weights_are_randomised_from_the_head_down_and_the_model_stays() -> None:
    model = build("airnet-tiny", ("a", "b"), Preprocess(MEAN, STD))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    copies = randomised(model)
    assert copies[0][0] == "head"
    head = copies[0][1].state_dict()
    changed = {key for key, value in head.items() if not torch.equal(value, before[key])}
    assert changed
    assert all(key.startswith("head.") for key in changed)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_maps_of_the_image_alone_do_not_notice_random_weights() -> None:
    model = build("airnet-tiny", ("a", "b"), Preprocess(MEAN, STD))
    brightness = random_images(3, 32).float().mean(3)
    found = randomisation_check(model, lambda _: brightness)
    assert [row["similarity"] for row in found] == pytest.approx([1.0] * len(found))


def test_a_judgement_is_written_and_read_back_and_said_in_a_sentence(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build("airnet-tiny", ("a", "b"), Preprocess(MEAN, STD)).eval()
    images = random_images(3, 32).numpy()
    judged = judge(model, images, split="test", methods=["layer-cam", "rise"], steps=2, checks=True)
    assert [row["name"] for row in judged["rows"]] == [BLOB, RANDOM, "layer-cam", "rise"]
    assert "seeds" in judged["rows"][3]
    assert "seeds" not in judged["rows"][2]
    path = tmp_path / "faithfulness.json"
    write_json(path, {"method": "rise", "weights": "0" * 64, **judged})
    assert read_json(path)["n"] == 3
    assert verdict(judged, "rise").endswith("was not tested: 3 test images are too few.")
    judged["n"], row = 300, judged["rows"][2]
    row["beats"] = True
    assert verdict(judged, "layer-cam").startswith("Tested on 300 test images: at insertion and")
    row["beats"] = False
    for by_curve in row["against"].values():
        for by_reference in by_curve.values():
            for interval in by_reference.values():
                interval |= {"value": 0.1, "low": 0.05, "high": 0.2}
    row["against"][RANDOM]["deletion"]["blur"]["low"] = -0.01
    assert verdict(judged, "layer-cam").endswith("sure against a random map at deletion.")
    row["against"][RANDOM]["deletion"]["blur"]["value"] = -0.001
    assert verdict(judged, "layer-cam") == (
        "Do not trust these maps: on 300 test images, they are no better than a random map at "
        "deletion."
    )


def test_a_method_without_a_map_for_the_model_is_refused() -> None:
    model = build("vit_tiny_patch16_224", ("a", "b"), Preprocess(MEAN, STD, 32)).eval()
    images = random_images(1, 32).numpy()
    with pytest.raises(UsageError, match="no layer of the model gives a map"):
        judge(model, images, split="test", methods=["grad-cam"], steps=2)


def test_the_baselines_do_not_look() -> None:
    first, second = baseline_maps(random_images(2)), baseline_maps(random_images(2).flip(0))
    for name, maps in first.items():
        assert torch.equal(maps, second[name])
    assert int(first[BLOB][0].argmax()) in {119, 120, 135, 136}  # the middle of 16 × 16

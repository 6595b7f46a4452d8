"""The facts of a network by input size."""

import pytest

from clearsight.data.images import ImageSet
from clearsight.errors import ConfigError
from clearsight.training.cost import profile_network
from tests.recorder import Recorder


def test_facts_of_a_known_network(images: ImageSet) -> None:
    recorder = Recorder()
    found = profile_network("resnet20", images, 96, sizes=(32, 64), progress=recorder)
    assert (found["model"], found["images"]) == ("resnet20", 96)
    small, large = found["sizes"]
    assert (small["size"], small["last_map"]) == (32, (8, 8))  # two stages halve the side
    assert (large["size"], large["last_map"]) == (64, (16, 16))
    assert small["feature_bytes"] == 96 * 64 * 4
    assert large["memory"] > small["memory"] > 4 * 4 * 269_000  # weights, gradients, two moments
    assert small["head_seconds"] == pytest.approx(96 / small["images_per_second"])
    assert all(small[f"{what}_seconds"] > 0 for what in ("top1", "top2", "all"))
    assert recorder.totals == {"measuring sizes": 2}
    assert recorder.steps == {"measuring sizes": [1, 1]}


def test_an_unknown_network_is_refused(images: ImageSet) -> None:
    with pytest.raises(ConfigError, match=r"model\.name"):
        profile_network("resnet5o", images, 96)

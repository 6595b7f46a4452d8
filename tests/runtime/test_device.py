"""Device, precision, seeds, environment."""

import re

import pytest
import torch

from clearsight.errors import ConfigError
from clearsight.runtime.device import autocast, pick_device, pick_precision
from clearsight.runtime.environment import environment
from clearsight.runtime.seeds import drawing_from, generator, seeded


def draw(*stream: str | int, seed: int = 0) -> float:
    return torch.rand(1, generator=generator(seed, *stream)).item()


def test_each_purpose_and_epoch_has_a_stream_of_its_own() -> None:
    assert draw("order", 3) == draw("order", 3)
    assert (
        len({draw("order", 3), draw("order", 4), draw("augment", 3), draw("order", 3, seed=1)}) == 4
    )


def test_seeded_gives_the_global_generator_back() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    with seeded(0, "weights"):
        first = torch.rand(1)
    assert torch.equal(before, torch.random.get_rng_state())
    with seeded(0, "weights"):
        assert torch.equal(first, torch.rand(1))


def test_functions_without_a_generator_can_draw_from_one() -> None:
    whole = torch.rand(6, generator=generator(0, "mix"))
    source = generator(0, "mix")
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    with drawing_from(source):
        first = torch.rand(2)
    assert torch.equal(before, torch.random.get_rng_state())
    # The source has moved on by what was drawn.
    rest = torch.rand(4, generator=source)
    assert torch.equal(torch.cat([first, rest]), whole)


def test_an_absent_device_is_an_error_that_says_what_there_is() -> None:
    assert pick_device("cpu").type == "cpu"
    if not torch.backends.mps.is_available():
        with pytest.raises(ConfigError, match=r"training\.device: found 'mps', this machine has"):
            pick_device("mps")


def test_autocast_multiplies_in_bf16_and_keeps_weights_float32() -> None:
    layer = torch.nn.Linear(4, 4)
    with autocast(torch.device("cpu"), "bf16"):
        assert layer(torch.ones(1, 4)).dtype == torch.bfloat16
    with autocast(torch.device("cpu"), "fp32"):
        assert layer(torch.ones(1, 4)).dtype == torch.float32
    assert layer.weight.dtype == torch.float32
    assert pick_precision("fp32", torch.device("cpu")) == "fp32"


def test_the_environment_says_what_a_result_depends_on() -> None:
    about = environment(torch.device("cpu"), "fp32")
    assert torch.__version__.startswith(about["torch"])
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", about["torch"])
    assert about["cores"] >= 1
    assert about["device"] == "cpu"
    assert set(about) >= {"clearsight", "python", "numpy", "cpu", "memory_gib", "git"}

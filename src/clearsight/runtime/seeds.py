"""Random generators: one for each purpose, all derived from the seed of the run."""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager

import torch


def generator(seed: int, *stream: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for each purpose, so that resuming needs no stored RNG state.

    `generator(0, "order", 3)` is the order of epoch 3 in the run with seed 0.
    """
    digest = hashlib.sha256(repr((seed, *stream)).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@contextmanager
def seeded(seed: int, *stream: str | int) -> Generator[None]:
    """The global generators (CPU, CUDA) seeded as `generator` would, and given back as found."""
    # Without CUDA at work there is nothing of it to give back, and asking would start it.
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(generator(seed, *stream).initial_seed())
        yield


@contextmanager
def drawing_from(source: torch.Generator) -> Generator[None]:
    """Lets functions that take no generator draw from `source`; the global one is given back."""
    kind = source.device.type
    module = torch.random if kind == "cpu" else torch.get_device_module(kind)
    before = module.get_rng_state()
    module.set_rng_state(source.get_state())
    try:
        yield
        source.set_state(module.get_rng_state())
    finally:
        module.set_rng_state(before)


def uniform(
    low: float, high: float, n: int, source: torch.Generator, device: torch.device
) -> torch.Tensor:
    """float32 [N] on `device`, uniform in [`low`, `high`), drawn on the generator's own device."""
    draws = torch.rand(n, generator=source, device=source.device).to(device)
    return low + (high - low) * draws

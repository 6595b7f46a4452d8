"""The device that computes: its kind, its precision, its memory allocator."""

import ctypes
import platform
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from clearsight.errors import ConfigError
from clearsight.runtime.cpu_convolutions import TrainingConvolutions

Precision = Literal["fp32", "bf16"]


def pick_device(name: str) -> torch.device:
    """The device of a name, `auto` being the best there is. Raises `ConfigError` if absent."""
    present = {"cpu": True, "cuda": torch.cuda.is_available()}
    present["mps"] = torch.backends.mps.is_available()
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if present[kind])
    if not present.get(name, False):
        found = ", ".join(kind for kind, there in present.items() if there)
        raise ConfigError(f"training.device: found {name!r}, this machine has {found}")
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> Precision:
    """`auto` is bf16 where the hardware multiplies it natively: emulated it would be slower."""
    if name in ("fp32", "bf16"):
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if device.type == "cpu" and cpu_multiplies_bf16() else "fp32"


@contextmanager
def autocast(device: torch.device, precision: Precision) -> Generator[None]:
    """Convolutions and matrix products in `precision`; weights stay float32."""
    if precision == "fp32":
        yield
        return
    with ExitStack() as modes:
        modes.enter_context(torch.autocast(device.type, torch.bfloat16))
        if device.type == "cpu":
            modes.enter_context(TrainingConvolutions())
        yield


@cache
def cpu_multiplies_bf16() -> bool:
    """Whether the CPU has bf16 instructions (AVX512-BF16, AMX-BF16, or Arm's BF16)."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return False
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


def tune_allocator() -> bool:
    """Makes glibc keep large freed blocks; returns whether that was possible.

    By default each tensor over 32 MiB is mapped anew and its pages are zeroed by the kernel at
    every step, which costs up to a third of a CPU training step. Memory is then given back only
    when the process ends.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    m_trim_threshold, m_mmap_max = -1, -4
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(m_mmap_max, 0) and libc.mallopt(m_trim_threshold, 2**31 - 1))

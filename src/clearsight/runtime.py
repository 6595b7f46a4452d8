"""The machine: device, precision, allocator, seeds, and what to record of it."""

import ctypes
import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

from clearsight.convolutions import TrainingConvolutions
from clearsight.errors import ConfigError

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


def environment(device: torch.device, precision: str) -> dict[str, Any]:
    """What `environment.json` says of machine, versions and code."""
    about: dict[str, Any] = {"clearsight": version("clearsight"), "python": sys.version.split()[0]}
    about |= {name: version(name) for name in ("torch", "numpy", "onnxruntime")}
    about |= {
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "git": _git(),
    }
    return about


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    if not hasattr(os, "sysconf"):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _git() -> dict[str, Any] | None:
    """Commit and whether the tree is dirty, where clearsight runs from a checkout."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        # Installed into somebody else's checkout, its commit would say nothing of this code.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None

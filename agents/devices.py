"""Devices by name, and the precision that each is fast in."""

import torch

from rl_slt import InputError


def check_device(name: str) -> torch.device:
    """The torch device called `name`; InputError when there is none such here.

    Args:
        name: `cpu`, `cuda` or `cuda:N`.
    """
    have = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]  # nothing is started
    if name not in have and not (name == "cuda" and len(have) > 1):
        raise InputError.of("device", name, f"available here ({', '.join(have)})")
    return torch.device(name)


def chosen_precision(name: str, device: torch.device) -> str:
    """What a precision called `auto` means on `device`; other names are what they say.

    bfloat16 where a GPU has instructions for it, or a CPU has tiles (AMX) and torch may use them.
    On other CPUs float32 is the faster one: with AVX-512's pairs trainings took 1.04 to 1.28 times
    as long in bfloat16 on an Intel Xeon (`benchmarks/results/agents_speed.md`).
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        held = torch.backends.cpu.get_cpu_capability() != "AVX512"
        fast = torch.cpu._is_amx_tile_supported() and not held
    return "bfloat16" if fast else "float32"

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

    bfloat16 where the processor has instructions for it (on CPUs: AMX tiles or AVX-512's pairs) and
    torch may use them. Elsewhere its convolutions take twice as long as those in float32.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
        fast = has and torch.backends.cpu.get_cpu_capability() == "AVX512"
    return "bfloat16" if fast else "float32"

"""What devinterp 1.3.2 does; runs in an environment of its own (no rl_slt) and prints JSON.

python -m venv devinterp
devinterp/bin/pip install torch==2.13.0 devinterp==1.3.2
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import warnings
from typing import Any

import torch
from devinterp.optim import SGMCMC
from devinterp.slt.sampler import estimate_learning_coeff_with_summary
from llc_nets import LowRank, case, kl
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

STEPS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 2e-2, 4e-2, 8e-2)
SAMPLERS = ("sgld", "rmsprop_sgld", "sgnht")


def sample(
    net: nn.Module, loader: Any, sampler: str, draws: int, autocast: bool = False, **kwargs: Any
) -> Any:
    """Losses `[chains, draws]` of four chains, and the CPU seconds they took."""
    began = time.process_time()

    def evaluate(model: nn.Module, data: Any) -> dict[str, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits = model(data[0])
        return {"loss": kl(logits.float(), data[1])}

    found = estimate_learning_coeff_with_summary(
        net,
        loader,
        evaluate=evaluate,
        sampling_method=getattr(SGMCMC, sampler),
        optimizer_kwargs=kwargs,
        num_draws=draws,
        num_chains=4,
        num_burnin_steps=0,
        init_loss=1e-30,  # exactly 0 would be taken for none
        device="cpu",
        verbose=False,
        online=True,
    )
    return found["loss/trace"], time.process_time() - began


def speed(name: str, draws: int, batch: int, autocast: bool) -> dict[str, float]:
    """Draws of all chains per CPU second, after a short run to warm up."""
    net, states, logits = case(name)
    loader = DataLoader(TensorDataset(states, logits), batch_size=batch, shuffle=True)
    settings = {"lr": 1e-5, "localization": 100.0, "nbeta": 268.6}
    sample(net, loader, "sgld", max(2, draws // 10), autocast, **settings)
    _, spent = sample(net, loader, "sgld", draws, autocast, **settings)
    return {"draws_per_second": 4 * draws / spent}


def accuracy(file: str, draws: int, batch: int, repeats: int) -> list[dict[str, Any]]:
    """Estimates of a low-rank policy over the whole grid; half of the draws may be burn-in."""
    p = torch.load(file)
    net, states = LowRank(p["rows"], p["columns"]), p["states"]
    with torch.no_grad():
        data = TensorDataset(states, net(states))
    out = []
    for sampler, step in itertools.product(SAMPLERS, STEPS):
        settings = {"lr": step, "nbeta": p["nbeta"]}
        if sampler != "sgnht":  # it takes no localization
            settings["localization"] = p["localization"]
        found = []
        for seed in range(repeats):
            torch.manual_seed(seed)
            loader = DataLoader(data, batch_size=batch, shuffle=True)
            losses, spent = sample(net, loader, sampler, draws, **settings)
            found.append((losses, spent))
        for burn in (0, draws // 2):
            values = [p["nbeta"] * float(losses[:, burn:].mean()) for losses, _ in found]
            seconds = sum(s for _, s in found) / repeats
            known = {"sampler": sampler, "step": step, "burn_in": burn}
            out.append(known | {"llc": values, "seconds": seconds})
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", help="small, cnn, patch, or a file with a low-rank policy")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--autocast", action="store_true", help="Forward passes in bfloat16.")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if args.what in ("small", "cnn", "patch"):
        print(json.dumps(speed(args.what, args.draws, args.batch, args.autocast)))
    else:
        print(json.dumps(accuracy(args.what, args.draws, args.batch, args.repeats)))


if __name__ == "__main__":
    main()

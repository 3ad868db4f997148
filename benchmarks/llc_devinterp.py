"""Draws per CPU second of devinterp 1.3.2; runs in an environment of its own (no rl_slt)."""

from __future__ import annotations

import argparse
import json
import time

import torch
from devinterp.optim.sgld import SGLD
from devinterp.slt.sampler import estimate_learning_coeff_with_summary
from llc_nets import case, kl
from torch.utils.data import DataLoader, TensorDataset


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=["small", "cnn"])
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--batch", type=int, default=256)
    args = parser.parse_args()
    torch.set_num_threads(1)
    net, states, logits = case(args.case)
    loader = DataLoader(TensorDataset(states, logits), batch_size=args.batch, shuffle=True)
    began = time.process_time()
    estimate_learning_coeff_with_summary(
        net,
        loader,
        evaluate=lambda model, data: {"loss": kl(model(data[0]), data[1])},
        sampling_method=SGLD,
        optimizer_kwargs={"lr": 1e-5, "localization": 100.0, "nbeta": 268.6},
        num_draws=args.draws,
        num_chains=4,
        num_burnin_steps=0,
        init_loss=torch.zeros(()),
        device="cpu",
        verbose=False,
    )
    spent = time.process_time() - began
    print(json.dumps({"draws_per_second": 4 * args.draws / spent}))


if __name__ == "__main__":
    main()

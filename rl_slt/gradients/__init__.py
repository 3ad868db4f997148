"""Losses and gradients as functions of one flat vector, fast."""

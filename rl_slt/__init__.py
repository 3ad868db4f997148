"""Singular learning theory for reinforcement-learning policies."""

__version__ = "0.1.0"

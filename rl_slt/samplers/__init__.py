"""Posterior samplers, one per file."""

"""Stages of a study over runs on disk: train, estimate, probe, report."""

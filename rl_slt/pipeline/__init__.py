"""Stages of a study over runs on disk: train, estimate, probe, report."""

from rl_slt.shadows import refuse_shadow

refuse_shadow()

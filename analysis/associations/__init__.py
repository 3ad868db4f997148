"""Association of the LLC with goal probes: within a run, and over seeds."""

from analysis.associations.associate import ALL_RUNS, associate

__all__ = ["ALL_RUNS", "associate"]

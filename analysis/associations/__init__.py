"""Association of the LLC with goal probes: within a run, and over seeds."""

from analysis.associations.associate import associate

__all__ = ["associate"]

"""Where work runs, and what it reports meanwhile."""

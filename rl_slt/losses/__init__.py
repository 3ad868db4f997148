"""Per-sample losses of a policy, one per file."""

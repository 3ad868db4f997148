"""Which sampler settings an estimate can be trusted at."""

"""The goal probes of every checkpoint."""

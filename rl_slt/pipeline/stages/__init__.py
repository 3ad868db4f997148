"""The stages of a study: each makes what is missing and writes tables."""

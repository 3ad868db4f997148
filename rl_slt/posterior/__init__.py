"""The localized tempered posterior around a checkpoint."""

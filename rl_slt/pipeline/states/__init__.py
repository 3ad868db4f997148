"""What a loss is averaged over: state sets and episodes."""

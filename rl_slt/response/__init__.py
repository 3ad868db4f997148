"""What moves with what over posterior draws: traces of losses, influences, susceptibilities."""

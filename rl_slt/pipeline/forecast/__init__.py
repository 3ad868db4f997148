"""What a study will compute, about how long that takes here, and what fits a budget of time."""

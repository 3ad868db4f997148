"""Whether draws can be believed, and how uncertain the estimate is."""

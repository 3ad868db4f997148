"""CoinRun (and kin) from procgen with controllable placement of the goal object."""

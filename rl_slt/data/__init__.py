"""What an estimate is averaged over: states, actions, episodes."""

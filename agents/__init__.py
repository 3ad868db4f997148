"""PPO agents trained on the environments, with checkpoints to study."""

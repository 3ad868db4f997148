"""What a study asks for, checked before anything runs."""

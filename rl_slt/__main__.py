"""`python -m rl_slt`: the command rl-slt."""

from rl_slt.cli import main

if __name__ == "__main__":
    main()

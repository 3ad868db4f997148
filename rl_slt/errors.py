"""What goes wrong by a user's hand, and what deserves a warning; this module imports nothing."""


class InputError(ValueError):
    """A value from the user is wrong: one line that names it and what is allowed.

    The command line prints it without a traceback; any other exception is a bug in rl-slt.
    """

    @classmethod
    def of(cls, name: str, value: object, allowed: str, hint: str = "") -> "InputError":
        """The error in the form of every message, `NAME=VALUE: must be ALLOWED; HINT`.

        Args:
            name: of the setting, as the user writes it.
            value: that was given.
            allowed: the rest of the sentence "must be ...".
            hint: what to do next, where that helps.

        Example:
            >>> raise InputError.of("seed", -1, "an integer from 0 to 2147483647")
            Traceback (most recent call last):
            rl_slt.errors.InputError: seed=-1: must be an integer from 0 to 2147483647
        """
        return cls(f"{name}={value!r}: must be {allowed}" + (f"; {hint}" if hint else ""))


class ConvergenceWarning(UserWarning):
    """An estimate is `suspect` or `failed`: its message says why."""

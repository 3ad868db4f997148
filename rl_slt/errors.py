"""The error for a wrong value that a user handed in."""


class InputError(ValueError):
    """A value from the user is wrong: one line that names it and what is allowed.

    The command line prints it without a traceback; anything else that is raised is a bug of ours.
    """

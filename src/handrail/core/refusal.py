"""What a person must mend before something can be done."""


class Refusal(Exception):
    """The message says what to do; the command line shows it without a traceback."""

    exit_code = 1

"""What an error says, in one line."""


def first_line(error: BaseException) -> str:
    """Of its message; its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def reason(error: BaseException) -> str:
    """The same within another sentence: without full stop."""
    return first_line(error).rstrip(".")

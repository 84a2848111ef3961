"""What a server must not do while it is measured."""


class WrongAnswer(Exception):
    """A server answered wrongly, so its figures are worth nothing.

    ``count`` is how many answers were wrong, ``reason`` one sentence about the first.
    """

    def __init__(self, count: int, reason: str) -> None:
        super().__init__(count, reason)
        self.count = count
        self.reason = reason


def require(holds: bool, reason: str) -> None:
    """Raise one ``WrongAnswer`` unless the condition holds."""
    if not holds:
        raise WrongAnswer(1, reason)

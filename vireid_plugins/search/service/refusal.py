"""A request that cannot be answered, and why."""


class RefusedError(Exception):
    """The answer is a status of HTTP and a text for whoever asked.

    Args:
        status: the status.
        text: names what is wrong, and no path of this machine.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text

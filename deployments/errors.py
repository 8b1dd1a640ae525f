"""What keeps a deployment from a server, in one line for a person."""


class DeployError(Exception):
    """A server, a file or a variable that is not as it must be.

    Args:
        message: What came, what was expected, what to do.
        exit_code: 2 for what was asked wrongly, 1 for what went wrong.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code

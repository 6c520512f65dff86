"""What can go wrong with a tool: its call, as the model is told, and its configuration, as operators are."""

from __future__ import annotations

DENIED = "denied"
FAILED = "error"
INVALID = "invalid"
LIMITED = "limited"
NOT_FOUND = "not_found"
TIMEOUT = "timeout"


class ToolError(Exception):
    """A call that came to nothing. The text is for the model: short, and without anything of the inside.

    `status` is the word for it in the log and in metrics, `argument` the path of the argument that is wrong:
    `city`, `stops.0.name`; "" for none, or for all of them.
    """

    def __init__(self, message: str, *, status: str = FAILED, argument: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.argument = argument


class ConfigProblem(ValueError):
    """A tool can't be used as it is configured; `member` is what of it is wrong: `url`, `parameters`, …"""

    def __init__(self, member: str, message: str) -> None:
        super().__init__(message)
        self.member = member
        self.message = message

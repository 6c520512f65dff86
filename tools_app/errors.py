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

    `status` is the word for it in the log and in metrics.
    """

    def __init__(self, message: str, *, status: str = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class ConfigProblem(ValueError):
    """A tool can't be used as it is configured; `member` is what of it is wrong: `url`, `parameters`, …"""

    def __init__(self, member: str, message: str) -> None:
        super().__init__(message)
        self.member = member
        self.message = message

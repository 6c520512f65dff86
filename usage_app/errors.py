"""Errors of the ledger that a client can see."""

from __future__ import annotations

from gateway_project.core.errors import Overloaded


class JournalFull(Overloaded):
    """The journal could not take a line: the disk is full, gone or read-only."""

    code = "ledger_unavailable"

    def __init__(self, message: str = "The ledger cannot record requests now.") -> None:
        super().__init__(message, headers={"retry-after": "5"})

"""How a request ended, by its status: the words of the ledger's list and of the live page."""

from __future__ import annotations

from typing import NamedTuple


class Outcome(NamedTuple):
    """A kind of ending: the statuses from `first` to `last`."""

    id: str
    title: str
    first: int
    last: int


OUTCOMES = {
    one.id: one
    for one in (
        Outcome("ok", "Answered", 200, 399),
        Outcome("client", "Refused (4xx)", 400, 498),
        Outcome("left", "Client left (499)", 499, 499),
        Outcome("server", "Failed (5xx)", 500, 599),
    )
}


def outcome_of(status: int) -> str:
    """The id of the outcome that a status belongs to; "" for what is no final status."""
    return next((one.id for one in OUTCOMES.values() if one.first <= status <= one.last), "")

"""What can be wrong with an export."""

from __future__ import annotations

from gateway_project.core.errors import InvalidRequest


class TooManyRows(InvalidRequest):
    """The format can't hold as many rows as the query has."""

    code = "too_many_rows"  # type: ignore[assignment]  # Its base has none.


class UnreadableFile(ValueError):
    """A file is not, or no longer, of the format that its manifest says."""

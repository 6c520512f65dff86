"""The inference surface: thin operations over the services of the apps."""

from __future__ import annotations

from gateway_project.api.doors import DoorTable, table


def all_doors() -> DoorTable:
    """The table with every door declared."""
    # Importing a module declares its doors.
    from gateway_project.api import (  # noqa: F401
        documents,
        health,
        inference,
        judging,
        mcp,
        mcp_rest,
        media,
        messages,
        models,
        passthrough,
    )

    return table

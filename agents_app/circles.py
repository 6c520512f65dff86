"""Circles of links between agents: which of them would never end."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from agents_app.definition import AS_TOOL

A = TypeVar("A", bound=Hashable)


def leads_back(
    origin: A, links: Iterable[tuple[A, str]], links_of: Callable[[A], Iterable[tuple[A, str]]]
) -> bool:
    """Whether a way from the origin over these links back to it has a call as a tool on it.

    A link is a target and a kind; `links_of` has those of other agents. Each round of such a circle would be
    a run inside of the former, while agents may hand over to and fro.
    """
    todo = [(target, kind == AS_TOOL) for target, kind in links]
    seen = set(todo)
    while todo:
        agent, is_nested = todo.pop()
        if agent == origin:
            if is_nested:
                return True
            continue
        for target, kind in links_of(agent):
            step = (target, is_nested or kind == AS_TOOL)
            if step not in seen:
                seen.add(step)
                todo.append(step)
    return False

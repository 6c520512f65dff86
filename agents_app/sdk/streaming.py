"""Pieces of a streamed answer, and the client's tool calls as they come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agents_app.pieces import Piece


class CallStream:
    """Calls of the client's tools from the events of a model's answer; other calls are nobody's business."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        # By the SDK's index in its turn: ours. Its item ids are all the same.
        self._indexes: dict[int, int] = {}
        self._sent: set[str] = set()

    def begin_turn(self) -> None:
        """The SDK's indexes begin anew."""
        self._indexes.clear()

    def pieces_of(self, data: Any) -> Iterator[Piece]:
        """A call's beginning with its id and name, then its arguments in fragments."""
        if data.type == "response.output_item.added":
            item = data.item
            if item.type == "function_call" and item.name in self._names and item.call_id:
                index = self._indexes[data.output_index] = len(self._sent)
                self._sent.add(item.call_id)
                function = {"name": item.name, "arguments": ""}
                yield _call_piece(
                    {"index": index, "id": item.call_id, "type": "function", "function": function}
                )
        elif data.type == "response.function_call_arguments.delta":
            own_index = self._indexes.get(data.output_index)
            if own_index is not None and data.delta:
                yield _call_piece({"index": own_index, "function": {"arguments": data.delta}})

    def rest(self, calls: list[dict[str, Any]]) -> Iterator[Piece]:
        """The calls that no event told, whole."""
        for call in calls:
            if call["id"] not in self._sent:
                yield _call_piece({"index": len(self._sent), **call})
                self._sent.add(call["id"])


def _call_piece(call: dict[str, Any]) -> Piece:
    return Piece({"tool_calls": [call]})

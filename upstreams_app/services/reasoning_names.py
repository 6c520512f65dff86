"""What a model thinks has one name for clients: `reasoning_content`.

Ollama, vLLM, OpenRouter and others call it `reasoning`, in messages and in the deltas of streams.
"""

from __future__ import annotations

import re

# Texts can't hold this: quotes in them are escaped.
_THEIRS = b'"reasoning"'
_OURS = b'"reasoning_content"'
_MEMBER = re.compile(rb'"reasoning"(?=\s*:\s*(?:"|null))')


def with_one_name(chats: bytes) -> bytes:
    """Choices of a chat, or whole events of its stream; nearly free where nothing is to be renamed."""
    if _THEIRS not in chats or _OURS in chats:
        return chats
    return _MEMBER.sub(_OURS, chats)

"""Anchors: heads of the audit's chain, written down once a day outside of the database.

Whoever can write the database could cut off the chain's end and put back an old head; not what the log and
the file `<data>/audit/anchors.jsonl` say. Keep a copy of either where the gateway can't write.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from gateway_project.core.clock import utc_now
from gateway_project.core.codec import dumps, loads
from security_app.services.audit import Head, audit_head
from security_app.services.audit_check import Anchor

logger = logging.getLogger(__name__)
# A hundred years of days.
_MAX_ANCHORS = 36_500


def anchors_file() -> Path:
    """Where anchors are written."""
    return Path(settings.GATEWAY_DATA_DIR) / "audit" / "anchors.jsonl"


def write_anchor() -> Head:
    """Write the head down, in the file and in the log; nothing before the first event."""
    head = audit_head()
    if not head.seq:
        return head
    path = anchors_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    line = dumps({"at": utc_now(), "seq": head.seq, "hash": head.hash_hex}) + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    logger.info("audit.anchored", extra={"seq": head.seq, "hash": head.hash_hex})
    return head


def read_anchors() -> Iterator[Anchor]:
    """The anchors of the file, oldest first; ValueError names a line that is none."""
    path = anchors_file()
    if not path.exists():
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if number > _MAX_ANCHORS:
                raise ValueError(f"{path} has more than {_MAX_ANCHORS} lines")
            try:
                found = loads(line)
                yield Anchor(int(found["seq"]), str(found["hash"]), f"the anchor of {found['at']}")
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"line {number} of {path} is no anchor") from error


def parse_anchor(text: str) -> Anchor:
    """An anchor as `SEQ:HASH`, as from the log; ValueError if it is none."""
    seq, _, hash_hex = text.partition(":")
    if not seq.isdecimal() or len(hash_hex) != 64:
        raise ValueError(f"'{text}' is not an anchor such as 12:<64 hexadecimal digits>")
    return Anchor(int(seq), hash_hex.lower(), "the given anchor")

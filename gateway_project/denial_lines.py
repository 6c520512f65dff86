"""Refusals in the journal: how their lines are written, read, and chained into the audit."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from django.db import transaction

from security_app.services.denials import LIMITED, VERSION, Denials, chain_denials, set_denial_sink
from usage_app.services.ledger import ledger
from usage_app.services.line_kinds import register_line_kind
from usage_app.services.lines import BadLine, LaterVersion
from usage_app.services.refusals import store_refusals

KIND = "denials"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Denials).decode


class _Version(msgspec.Struct):
    v: int


_decode_version = msgspec.json.Decoder(_Version).decode


class DenialLines:
    """The journal's lines of the kind `denials`."""

    def decode(self, text: bytes) -> Denials:
        """What a line, without its end, says; BadLine or LaterVersion if it can't be one."""
        try:
            version = _decode_version(text).v
            if version > VERSION:
                raise LaterVersion(f"version {version}")
            return _decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadLine(f"{type(error).__name__}: {error}"[:300]) from error

    def store(self, lines: Sequence[Denials]) -> int:
        """Chain what the audit lacks, and count what limits and budgets refused; how many were new."""
        with transaction.atomic():
            counted = store_refusals([line for line in lines if line.action == LIMITED])
            return counted + chain_denials([line for line in lines if line.action != LIMITED])


def encode_denials(fold: Denials) -> bytes:
    """One line with its end."""
    return _encode(fold) + b"\n"


def use_the_journal() -> None:
    """Have refusals written to the journal, and its lines of them read."""
    register_line_kind(KIND, DenialLines())
    set_denial_sink(lambda fold: ledger.append_line(encode_denials(fold)))

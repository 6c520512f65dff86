"""`manage.py verify_audit`: whether every event of the audit is there as it was written."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway_project.core.codec import dumps
from security_app.services.audit_anchors import parse_anchor, read_anchors
from security_app.services.audit_check import Anchor, Findings, check_audit


class Command(BaseCommand):
    """Check the chain of the audit; ends with status 1 if something is wrong."""

    help = "Name every event of the audit that was edited, deleted, inserted or moved."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """From when on, with which anchors, in which form."""
        parser.add_argument("--since", type=_moment, help="check from this moment on; default: everything")
        parser.add_argument(
            "--anchor",
            type=_anchor,
            action="append",
            default=[],
            help="SEQ:HASH, as in the log (audit.anchored) or in a report's manifest; may be given often",
        )
        parser.add_argument("--json", action="store_true", dest="is_json", help="print one JSON object")

    def handle(self, *_: Any, since: datetime | None, anchor: list[Anchor], is_json: bool, **__: Any) -> None:
        """Print what is wrong."""
        try:
            anchors = [*read_anchors(), *anchor]
        except ValueError as error:
            raise CommandError(f"The anchors can't be read: {error}.") from error
        found = check_audit(since=since, anchors=anchors)
        if is_json:
            self.stdout.write(dumps(_as_json(found)).decode())
        else:
            for problem in found.problems:
                self.stdout.write(f"{problem.kind}: {problem.message}")
        if not found.is_whole:
            raise CommandError(f"The audit is damaged: {found.problem_count} findings.")
        if not is_json:
            self.stdout.write(
                f"The audit is whole: {found.events} events, {found.anchors} anchors; "
                f"head {found.last_seq}:{found.last_hash}."
            )


def _as_json(found: Findings) -> dict[str, object]:
    return {
        "is_whole": found.is_whole,
        "events": found.events,
        "first_seq": found.first_seq,
        "last_seq": found.last_seq,
        "last_hash": found.last_hash,
        "anchors": found.anchors,
        "problem_count": found.problem_count,
        "problems": [problem._asdict() for problem in found.problems],
    }


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is not a moment such as 2026-11-21 or 2026-11-21T15:00Z") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _anchor(text: str) -> Anchor:
    try:
        return parse_anchor(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None

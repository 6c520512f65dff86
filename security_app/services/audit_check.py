"""Whether the audit's chain is whole: what was edited, deleted, inserted or moved, by number.

Events are read once, in order, a page at a time, while others go on adding. What the chain can't tell by
itself, that its end was cut off together with the head, anchors tell: copies of earlier heads that were
written elsewhere (`security_app.services.audit_anchors`).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from security_app.models import AuditCheckpoint, AuditEvent, AuditHead
from security_app.models.audit import GENESIS
from security_app.models.chain import checkpoint_text, event_hash, head_text, key_of, mac

PAGE = 1000
MAX_PROBLEMS = 100


class Anchor(NamedTuple):
    """A head that was written down: the event's number and hash, and where that was."""

    seq: int
    hash_hex: str
    source: str


class Problem(NamedTuple):
    """Something that is not as it was written: `kind` is edited, forged, moved, missing, inserted, key,
    head, checkpoint or anchor; `seq` the event."""

    kind: str
    seq: int
    message: str


@dataclass(slots=True)
class Findings:
    """What a check found; beyond `MAX_PROBLEMS` problems are only counted."""

    events: int = 0
    first_seq: int = 0
    last_seq: int = 0
    last_hash: str = GENESIS
    anchors: int = 0
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0

    def add(self, kind: str, seq: int, message: str) -> None:
        """One more problem."""
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(kind, seq, message))

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem_count


def check_audit(*, since: datetime | None = None, anchors: Iterable[Anchor] = ()) -> Findings:
    """Check the chain, from the first event at or after `since` or from its beginning."""
    return _Check(anchors).run(since)


class _Check:
    def __init__(self, anchors: Iterable[Anchor]) -> None:
        self.found = Findings()
        self._anchors: dict[int, list[Anchor]] = {}
        for anchor in anchors:
            self._anchors.setdefault(anchor.seq, []).append(anchor)
        self._expected = 1
        # What the next event may name as the one before; empty if that is gone.
        self._links: set[str] = {GENESIS}
        self._suspects: list[AuditEvent] = []

    def run(self, since: datetime | None) -> Findings:
        self._begin(since)
        self.found.first_seq = self._expected
        while True:
            for event in self._following():
                self._check_event(event)
            # Written after the events, in one transaction with them: it can't be behind what we read.
            head = AuditHead.objects.filter(pk=1).first()
            if head is None or head.seq <= self._expected - 1 or not self._grew():
                break
        self._check_head(head)
        self._name_moved()
        for seq in sorted(self._anchors):
            self._check_late_anchors(seq)
        return self.found

    def _begin(self, since: datetime | None) -> None:
        checkpoint = AuditCheckpoint.objects.first()
        if checkpoint is not None:
            self._check_checkpoint(checkpoint)
        start = self._expected - 1
        for seq in (
            AuditEvent.objects.filter(seq__lte=start).order_by("seq").values_list("seq", flat=True)[:1]
        ):
            self.found.add("inserted", seq, f"event {seq} stands before the beginning of the chain")
        if since is None:
            return
        first = AuditEvent.objects.filter(at__gte=since, seq__gt=start).order_by("at", "seq").first()
        head = AuditHead.objects.filter(pk=1).first()
        self._expected = first.seq if first is not None else (head.seq + 1 if head is not None else 1)
        before = AuditEvent.objects.filter(seq=self._expected - 1).first()
        if before is not None:
            self._links = {before.hash}
            self.found.last_hash = before.hash
            self.found.last_seq = before.seq

    def _check_checkpoint(self, checkpoint: AuditCheckpoint) -> None:
        text = checkpoint_text(checkpoint.seq, checkpoint.hash, checkpoint.deleted)
        if not _is_ours(checkpoint.key_id, checkpoint.mac, text):
            self.found.add(
                "checkpoint", checkpoint.seq, f"the checkpoint at event {checkpoint.seq} was not made here"
            )
        self._expected, self._links = checkpoint.seq + 1, {checkpoint.hash}
        self.found.last_seq, self.found.last_hash = checkpoint.seq, checkpoint.hash
        self._check_anchors(checkpoint.seq, checkpoint.hash)
        for seq in [seq for seq in self._anchors if seq < checkpoint.seq]:
            # Of what retention deleted nothing can be told.
            del self._anchors[seq]

    def _following(self) -> Iterator[AuditEvent]:
        while page := list(AuditEvent.objects.filter(seq__gte=self._expected).order_by("seq")[:PAGE]):
            yield from page

    def _grew(self) -> bool:
        return AuditEvent.objects.filter(seq__gte=self._expected).exists()

    def _check_event(self, event: AuditEvent) -> None:
        seq, computed = event.seq, event_hash(event)
        if seq != self._expected:
            self._look_for_retention(seq)
        is_after_gap = seq != self._expected
        if is_after_gap:
            self.found.add("missing", self._expected, f"{_range(self._expected, seq - 1)} missing")
        is_sound = self._check_content(event, computed)
        if is_sound and not is_after_gap and event.prev_hash not in self._links:
            self.found.add("inserted", seq, f"event {seq} does not follow event {seq - 1}")
        self._check_anchors(seq, event.hash)
        self.found.events += 1
        self.found.last_seq, self.found.last_hash = seq, event.hash
        self._expected, self._links = seq + 1, {event.hash, computed}
        if not is_sound:
            # It was named; what stands after it follows something that nobody knows.
            self._links = _Anything()

    def _look_for_retention(self, seq: int) -> None:
        """Events that went while we read are no gap: the checkpoint has moved on."""
        checkpoint = AuditCheckpoint.objects.first()
        if checkpoint is not None and self._expected <= checkpoint.seq < seq:
            self._check_checkpoint(checkpoint)

    def _check_content(self, event: AuditEvent, computed: str) -> bool:
        if event.hash != computed:
            if not self._was_moved(event, [event.seq - 1, event.seq + 1]):
                self._suspect(event)
            return False
        if key_of(event.key_id) is None:
            self.found.add("key", event.seq, f"event {event.seq}: the ring lacks the key {event.key_id!r}")
            return False
        if not _is_ours(event.key_id, event.mac, event.hash):
            message = f"event {event.seq} was written without the key of the audit"
            self.found.add("forged", event.seq, message)
            return False
        return True

    def _suspect(self, event: AuditEvent) -> None:
        if len(self._suspects) < MAX_PROBLEMS:
            self._suspects.append(event)
        else:
            self.found.add("edited", event.seq, f"event {event.seq} was edited")

    def _was_moved(self, event: AuditEvent, places: Iterable[int]) -> bool:
        for place in places:
            if event.hash == event_hash(event, seq=place):
                self.found.add("moved", event.seq, f"event {event.seq} was event {place}")
                return True
        return False

    def _name_moved(self) -> None:
        """Tell events that changed places from those that were edited."""
        places = [event.seq for event in self._suspects]
        for event in self._suspects:
            if not self._was_moved(event, places):
                self.found.add("edited", event.seq, f"event {event.seq} was edited")

    def _check_head(self, head: AuditHead | None) -> None:
        last = self._expected - 1
        if head is None:
            if last:
                self.found.add("head", last, "the head of the chain is missing")
            return
        if not _is_ours(head.key_id, head.mac, head_text(head.seq, head.hash)):
            self.found.add("head", head.seq, f"the head at event {head.seq} was not written here")
        if head.seq > last:
            self.found.add("missing", last + 1, f"{_range(last + 1, head.seq)} missing at the end")
        elif head.seq < last:
            message = f"{_range(head.seq + 1, last)} beyond the head, which was at event {head.seq}"
            self.found.add("inserted", head.seq + 1, message)
        elif head.hash not in self._links:
            self.found.add("head", head.seq, f"event {head.seq} is not the one that the head names")

    def _check_anchors(self, seq: int, hash_hex: str) -> None:
        for anchor in self._anchors.pop(seq, ()):
            self.found.anchors += 1
            if anchor.hash_hex != hash_hex:
                message = f"event {seq} is not the one that {anchor.source} names"
                self.found.add("anchor", seq, message)

    def _check_late_anchors(self, seq: int) -> None:
        if seq >= self._expected:
            for anchor in self._anchors[seq]:
                message = f"{anchor.source} names event {seq}, but the chain ends at {self._expected - 1}"
                self.found.add("anchor", seq, message)


class _Anything(set[str]):
    """Holds every hash."""

    def __contains__(self, _: object) -> bool:
        return True


def _is_ours(key_id: str, given: str, text: str) -> bool:
    key = key_of(key_id)
    return key is not None and hmac.compare_digest(mac(key, text).encode(), given.encode())


def _range(first: int, last: int) -> str:
    return f"event {first} is" if first == last else f"events {first} to {last} are"

"""Whether a file and its manifest are what the gateway made, and what has changed since.

`wrong` is what must not be: a file or a manifest that was changed, an audit chain that lost an event.
`differs` is no tampering: usage that came late, or that retention removed, since the report was made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gateway_project.core.crypto import Ring
from gateway_project.core.errors import InvalidRequest
from usage_app.services.exports.errors import UnreadableFile
from usage_app.services.exports.formats import Format, format_named
from usage_app.services.exports.manifest import signature_problem
from usage_app.services.exports.query import ReportQuery, query_from_json
from usage_app.services.exports.table import NAMED, Column, Names, SumsRow, Tally, joined

WRONG, DIFFERS, FINE = "wrong", "differs", "fine"
MAX_COMPARED = 100_000
_MAX_NAMED = 10
_PIECE_BYTES = 1_048_576
_NAMES = {
    *(f"{dimension}_name" for dimension in NAMED),
    *("BillingAccountName", "SubAccountName", "ResourceName"),
    # These say in other words what other columns hold.
    *("ChargeDescription", "ConsumedUnit", "PricingUnit"),
}


# What of a FOCUS row tells people which it is.
_TELLING = {"ChargePeriodStart", "SubAccountId", "ResourceId", "SkuId", "InvoiceIssuerName"}


class Verdict(NamedTuple):
    """One thing that was looked at: wrong, differs or fine, and a sentence."""

    kind: str
    text: str


class Sources(NamedTuple):
    """What a file is compared with: sums of today, names, and the audit chain's hash at a number.

    `chain_hash` answers None where there is no such event.
    """

    sums: Callable[[ReportQuery], Iterable[SumsRow]]
    names: Names
    chain_hash: Callable[[int], str | None]


def verify(
    path: Path,
    manifest: dict[str, Any],
    *,
    ring: Ring,
    sources: Sources,
    stored: dict[str, Any] | None = None,
) -> list[Verdict]:
    """Look at everything; `stored` is the gateway's own copy of the manifest, if it has one."""
    found = list(_manifest(manifest, ring, stored))
    found += _bytes(path, manifest)
    try:
        form = format_named(manifest.get("format"))
        query = form.query(query_from_json(manifest.get("query")))
    except InvalidRequest as error:
        return [*found, Verdict(WRONG, f"The manifest's query can't be read: {error.message}")]
    rows = _File(path, form, form.columns(query))
    found += rows.verdicts(manifest)
    if is_sound(found[:1]):
        found += _today(manifest, rows, query, sources)
    else:
        found.append(
            Verdict(DIFFERS, "The sums of today were not compared: the manifest's query is not ours.")
        )
    found.append(_chain(manifest, sources))
    return found


def is_sound(verdicts: Iterable[Verdict]) -> bool:
    """Whether nothing is wrong."""
    return all(verdict.kind != WRONG for verdict in verdicts)


def _manifest(manifest: dict[str, Any], ring: Ring, stored: dict[str, Any] | None) -> Iterator[Verdict]:
    problem = signature_problem(manifest, ring)
    yield Verdict(WRONG, _sentence(problem)) if problem else Verdict(FINE, "The manifest's signature holds.")
    if stored is None:
        return
    for name in sorted({*manifest, *stored}):
        if manifest.get(name) != stored.get(name) and name != "signature":
            said, kept = _short(manifest.get(name)), _short(stored.get(name))
            yield Verdict(WRONG, f"The manifest's '{name}' is {said}; the gateway's own copy says {kept}.")


def _bytes(path: Path, manifest: dict[str, Any]) -> Iterator[Verdict]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            size += len(piece)
    if size != manifest.get("size_bytes"):
        yield Verdict(
            WRONG, f"The file has {size} bytes; the manifest says {_short(manifest.get('size_bytes'))}."
        )
    if digest.hexdigest() == manifest.get("sha256"):
        yield Verdict(FINE, "The file's SHA-256 is the manifest's.")
    else:
        yield Verdict(WRONG, "The file was changed: its SHA-256 is not the manifest's.")


class _File:
    """The rows of a file, read once."""

    def __init__(self, path: Path, form: Format, columns: tuple[Column, ...]) -> None:
        self.form = form
        self.columns = columns
        self.tally = Tally(columns)
        self.by_group: dict[tuple[str, ...], list[str]] | None = {}
        self.problem = ""
        self._compared = [index for index, column in enumerate(columns) if not _is_name(column.name)]
        self._groups = [index for index in self._compared if columns[index].kind == "text"]
        if form.has_rows:
            self._read(path)
        else:
            self.by_group = None

    def _read(self, path: Path) -> None:
        try:
            for row in self.form.read(path, self.columns):
                try:
                    self.tally.add(row)
                except ValueError as error:
                    raise UnreadableFile(f"a number of row {self.tally.rows + 1} is {error}") from error
                self._remember(row)
        except UnreadableFile as error:
            self.problem = str(error)
            self.by_group = None

    def _remember(self, row: list[str]) -> None:
        if self.by_group is not None:
            self.by_group[self.group(row)] = self.compared(row)
            if len(self.by_group) > MAX_COMPARED:
                self.by_group = None

    def shown(self, group: tuple[str, ...]) -> str:
        """Which row it is, for people."""
        names = [self.columns[index].name for index in self._groups]
        some = [text for name, text in zip(names, group, strict=True) if name in _TELLING]
        return " / ".join(text or "–" for text in some or group)[:200] or "The sum"

    def group(self, row: list[str]) -> tuple[str, ...]:
        """What a row is of."""
        return tuple(row[index] for index in self._groups)

    def compared(self, row: list[str]) -> list[str]:
        """A row without names, which may change."""
        return [row[index] for index in self._compared]

    def verdicts(self, manifest: dict[str, Any]) -> Iterator[Verdict]:
        """What the rows say of the manifest."""
        if not self.form.has_rows:
            yield Verdict(FINE, f"The rows of a {self.form.title} are for people; its bytes were compared.")
            return
        if self.problem:
            yield Verdict(WRONG, f"The file can't be read as {self.form.title}: {self.problem}.")
            return
        found = list(self._wrong(manifest))
        yield from found or [Verdict(FINE, f"The file's {self.tally.rows} rows and their totals agree.")]

    def _wrong(self, manifest: dict[str, Any]) -> Iterator[Verdict]:
        said = manifest.get("rows")
        if self.tally.rows != said:
            more = isinstance(said, int) and self.tally.rows > said
            what = "rows were added" if more else "rows were removed"
            yield Verdict(WRONG, f"The file has {self.tally.rows} rows; the manifest says {said}: {what}.")
        totals = manifest.get("totals")
        totals = totals if isinstance(totals, dict) else {}
        for name, total in self.tally.totals().items():
            if totals.get(name) != total:
                text = f"The file's {name} sum up to {total}; the manifest says {_short(totals.get(name))}."
                yield Verdict(WRONG, text)
        if self.tally.sha256 != manifest.get("rows_sha256"):
            yield Verdict(WRONG, f"The rows are not those of the manifest: {self._where(manifest)}.")

    def _where(self, manifest: dict[str, Any]) -> str:
        said = manifest.get("row_digests")
        try:
            span, digests = int(said["rows_per_digest"]), list(said["digests"])  # type: ignore[index]
        except (TypeError, KeyError, ValueError):
            return "the manifest does not say which"
        mine, own_span = self.tally.digests(), self.tally.rows_per_digest
        while own_span != span and max(own_span, span) < 2**40:
            if own_span < span:
                mine, own_span = _folded(mine), own_span * 2
            else:
                digests, span = _folded(digests), span * 2
        for number, (one, other) in enumerate(zip(mine, digests, strict=False)):
            if one != other:
                return _rows_named(number, span)
        return f"they are the same up to row {min(len(mine), len(digests)) * span}"


def _rows_named(number: int, span: int) -> str:
    if span == 1:
        return f"row {number + 1} is the first that was changed, removed or added"
    return f"the first difference is in the rows {number * span + 1} to {(number + 1) * span}"


def _folded(digests: list[str]) -> list[str]:
    pairs = [joined(*digests[index : index + 2]) for index in range(0, len(digests) - 1, 2)]
    return [*pairs, digests[-1]] if len(digests) % 2 else pairs


def _today(manifest: dict[str, Any], rows: _File, query: ReportQuery, sources: Sources) -> Iterator[Verdict]:
    """Compare with what the rollups say now; what the file holds, or for a PDF what its manifest says."""
    form, today = rows.form, Tally(rows.columns)
    named: list[str] = []
    left = dict(rows.by_group) if rows.by_group is not None else None
    for row in sources.sums(query):
        cells = form.cells(row, query, sources.names)
        today.add(cells)
        if left is not None:
            before = left.pop(rows.group(cells), None)
            if before != rows.compared(cells) and len(named) < _MAX_NAMED:
                named.append(_difference(rows, cells, before))
    if left:
        named += [
            f"{rows.shown(group)} is no longer there" for group in list(left)[: _MAX_NAMED - len(named)]
        ]
    said = manifest.get("totals")
    if today.totals() == said and today.rows == manifest.get("rows") and not named:
        yield Verdict(FINE, "The sums of today are the same.")
        return
    yield Verdict(
        DIFFERS,
        f"Summed up today there are {today.rows} rows with totals {_short(today.totals())}: usage came late, "
        "was recomputed, or is beyond its retention.",
    )
    for text in named:
        yield Verdict(DIFFERS, f"Today: {text}.")


def _difference(rows: _File, cells: list[str], before: list[str] | None) -> str:
    group = rows.shown(rows.group(cells))
    if before is None:
        return f"{group} is there too"
    names = [column.name for column in rows.columns if not _is_name(column.name)]
    changes = [
        f"{name} is {now}, the file says {was}"
        for name, now, was in zip(names, rows.compared(cells), before, strict=True)
        if now != was
    ]
    return f"{group}: {'; '.join(changes)}"


def _chain(manifest: dict[str, Any], sources: Sources) -> Verdict:
    head = manifest.get("audit_head")
    if not isinstance(head, dict) or not isinstance(head.get("seq"), int):
        return Verdict(WRONG, "The manifest does not name the head of the audit chain.")
    seq = head["seq"]
    if seq == 0 and not head.get("hash"):
        return Verdict(FINE, "There was no audit event when the report was made.")
    found = sources.chain_hash(seq)
    if found is None:
        return Verdict(
            WRONG, f"The audit chain no longer has event {seq}, its head when the report was made."
        )
    if found != head.get("hash"):
        return Verdict(
            WRONG, f"The audit chain was rewritten: event {seq} has another hash than the manifest."
        )
    return Verdict(FINE, f"The audit chain still has event {seq}, its head when the report was made.")


def _is_name(name: str) -> bool:
    """Whether a column follows from others, or may be called otherwise today."""
    return name in _NAMES


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."

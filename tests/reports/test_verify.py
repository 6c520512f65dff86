"""A changed byte, cell, row or manifest is named; what was not touched passes, in every format."""

from __future__ import annotations

import copy
import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reports.samples import HEAD, look, make_signed, rows_for, texts
from usage_app.services.exports.formats import FORMATS
from usage_app.services.exports.manifest import BadManifest, parse_manifest, signed
from usage_app.services.exports.verify import DIFFERS, WRONG, is_sound

ALL = list(FORMATS)
LINES = ["csv", "jsonl", "focus"]


@pytest.fixture(scope="module", params=ALL)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A file of 40 rows in a format: the format, the path, the manifest and the rows."""
    rows = rows_for(request.param, 40)
    path, manifest = make_signed(tmp_path_factory.mktemp("made"), request.param, rows)
    return request.param, path, manifest, rows


def test_what_nobody_touched_passes(made: Any) -> None:
    _, path, manifest, rows = made

    verdicts = look(path, manifest, rows, stored=copy.deepcopy(manifest))

    assert texts(verdicts, WRONG) == ""
    assert texts(verdicts, DIFFERS) == ""


@settings(max_examples=25)
@given(data=st.data())
def test_any_changed_byte_is_named(made: Any, data: st.DataObject) -> None:
    _, path, manifest, rows = made
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))

    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / path.name
        other.write_bytes(content)
        verdicts = look(other, manifest, rows)

    assert "The file was changed: its SHA-256 is not the manifest's." in texts(verdicts, WRONG)


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict) and value:
        return [leaf for name, item in value.items() for leaf in _leaves(item, (*path, name))]
    return [path]


@settings(max_examples=40)
@given(data=st.data())
def test_any_changed_member_of_a_manifest_is_named(made: Any, data: st.DataObject) -> None:
    _, path, manifest, rows = made
    place = data.draw(st.sampled_from(_leaves(manifest)))
    forged = copy.deepcopy(manifest)
    holder = forged
    for name in place[:-1]:
        holder = holder[name]
    old = holder[place[-1]]
    new: Any = data.draw(st.one_of(st.integers(), st.text(max_size=5), st.none(), st.just([])))
    holder[place[-1]] = new

    verdicts = look(path, forged, rows, stored=manifest)

    if new == old and type(new) is type(old):
        assert is_sound(verdicts)
    else:
        assert "signature" in texts(verdicts, WRONG)
        assert place[0] == "signature" or f"'{place[0]}'" in texts(verdicts, WRONG)


def test_a_member_too_many_or_too_few_is_named(made: Any) -> None:
    _, path, manifest, rows = made
    for forged in ({**manifest, "approved": True}, {k: v for k, v in manifest.items() if k != "title"}):
        assert "its signature does not fit what it says" in texts(look(path, forged, rows), WRONG)


def test_a_manifest_signed_by_somebody_else_is_named(made: Any) -> None:
    _, path, manifest, rows = made
    from gateway_project.core.crypto import RingKey

    unsigned = {name: value for name, value in manifest.items() if name != "signature"}
    for ring in ((RingKey("k1", b"x" * 32),), (RingKey("other", b"x" * 32),)):
        assert "The manifest" in texts(look(path, signed(unsigned, ring), rows), WRONG)
    assert "no signature" in texts(look(path, unsigned, rows), WRONG)


def test_an_older_key_of_the_ring_still_counts(made: Any) -> None:
    from tests.reports.samples import RING

    _, path, manifest, rows = made
    unsigned = {name: value for name, value in manifest.items() if name != "signature"}

    assert is_sound(look(path, signed(unsigned, RING[1:]), rows))


def _changed(form: str, content: str, change: Any) -> str:
    """The file with its rows changed and written again in its own form."""
    if form == "jsonl":
        lines = [json.loads(line) for line in content.splitlines()]
        change(lines, "cost_usd", "requests", "model")
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    names = ("BilledCost", "x_Requests", "SkuId") if form == "focus" else ("cost_usd", "requests", "model")
    change(rows, *names)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize("form", LINES)
@settings(max_examples=10)
@given(number=st.integers(0, 39))
def test_a_changed_cell_is_named_by_row_and_column(form: str, number: int) -> None:
    rows = rows_for(form, 40)
    with tempfile.TemporaryDirectory() as folder:
        path, manifest = make_signed(Path(folder), form, rows)

        def cheaper(lines: list[dict[str, Any]], cost: str, *_: str) -> None:
            lines[number][cost] = "0"

        path.write_text(_changed(form, path.read_text(), cheaper), newline="")
        verdicts = look(path, manifest, rows)

    column = "BilledCost" if form == "focus" else "cost_usd"
    assert f"The file's {column} sum up to" in texts(verdicts, WRONG)
    assert f"row {number + 1} is the first that was changed" in texts(verdicts, WRONG)
    assert f"acme/model-{number}" in texts(verdicts, DIFFERS)


@pytest.mark.parametrize("form", LINES)
def test_a_removed_row_and_a_renamed_one_are_named(form: str, tmp_path: Path) -> None:
    rows = rows_for(form, 40)
    path, manifest = make_signed(tmp_path, form, rows)
    content = path.read_text()

    path.write_text(_changed(form, content, lambda lines, *_: lines.pop(16)), newline="")
    removed = look(path, manifest, rows)
    path.write_text(
        _changed(form, content, lambda lines, cost, requests, model: lines[16].update({model: "acme/other"})),
        newline="",
    )
    renamed = look(path, manifest, rows)

    assert "The file has 39 rows; the manifest says 40: rows were removed." in texts(removed, WRONG)
    assert "row 17 is the first" in texts(removed, WRONG)
    assert "row 17 is the first" in texts(renamed, WRONG)


def test_of_many_rows_the_span_of_the_change_is_named(tmp_path: Path) -> None:
    rows = rows_for("csv", 3000)
    path, manifest = make_signed(tmp_path, "csv", rows)
    assert is_sound(look(path, manifest, rows))
    lines = path.read_text().splitlines(keepends=True)
    del lines[2001]

    path.write_text("".join(lines), newline="")

    assert "the first difference is in the rows 2001 to 2008" in texts(look(path, manifest, rows), WRONG)


def test_a_changed_number_of_a_workbook_is_named(tmp_path: Path) -> None:
    from openpyxl import load_workbook

    rows = rows_for("xlsx", 10)
    path, manifest = make_signed(tmp_path, "xlsx", rows)
    book = load_workbook(path)
    sheet = book["Usage"]
    sheet.cell(4, 3).value += 1
    book.save(path)
    changed = look(path, manifest, rows)
    sheet.cell(4, 3).value -= 1
    sheet.cell(5, 10).value = 0
    book.save(path)
    hidden = look(path, manifest, rows)

    assert "The file's requests sum up to" in texts(changed, WRONG)
    assert "row 3 is the first that was changed" in texts(changed, WRONG)
    assert "'cost_usd' of row 4 shows 0, but its exact text says" in texts(hidden, WRONG)


def test_late_usage_is_a_difference_and_no_tampering(made: Any) -> None:
    form, path, manifest, rows = made
    late = [rows[0]._replace(requests=rows[0].requests + 1), *rows[1:-1]]

    verdicts = look(path, manifest, late)

    assert is_sound(verdicts)
    assert "Summed up today there are 39 rows" in texts(verdicts, DIFFERS)
    if form != "pdf":
        assert "acme/model-0" in texts(verdicts, DIFFERS)
        assert "acme/model-39" in texts(verdicts, DIFFERS)


def test_a_chain_without_that_head_is_named(made: Any) -> None:
    _, path, manifest, rows = made

    gone = look(path, manifest, rows, chain={})
    rewritten = look(path, manifest, rows, chain={HEAD[0]: "cd" * 32})

    assert "no longer has event 7" in texts(gone, WRONG)
    assert "event 7 has another hash" in texts(rewritten, WRONG)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"manifest_version": 1, "rows": 1, "rows": 2}', "[" * 99_999]
)
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(BadManifest):
        parse_manifest(text)

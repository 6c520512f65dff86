"""What each format writes: exact money, harmless texts, bounded rows, flat memory."""

from __future__ import annotations

import csv
import io
import json
import tempfile
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_project.core.errors import InvalidRequest
from tests.reports.samples import KEY, QUERY, Row, make, order_for, rows_for
from usage_app.services.exports import pdf_file, xlsx_file
from usage_app.services.exports.errors import TooManyRows
from usage_app.services.exports.formats import FORMATS, format_named
from usage_app.services.exports.query import ReportQuery
from usage_app.services.exports.texts import is_formula

READABLE = [name for name, one in FORMATS.items() if one.has_rows]
# FOCUS 1.2, feature level "Mandatory", and BillingAccountType and ConsumedQuantity, which it asks of us.
MANDATORY = {
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency"),
    *("BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription"),
    *("ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost"),
    *("EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ProviderName"),
    *("PublisherName", "ServiceCategory", "ServiceName"),
}
NULLABLE = {"ChargeClass", "InvoiceId", "SubAccountId", "SubAccountName", "SubAccountType", "Tags"}
NULLABLE |= {"ResourceId", "ResourceName", "ResourceType"}
MONEY = st.integers(0, 2**62)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def lines(form: str, rows: list[Row], query: ReportQuery = QUERY) -> list[dict[str, str]]:
    """The rows of a CSV file as a spreadsheet's user would have them."""
    with tempfile.TemporaryDirectory() as folder:
        path, _ = make(Path(folder), form, rows, query)
        return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))


@pytest.mark.parametrize("form", READABLE)
@settings(max_examples=40)
@given(st.lists(st.tuples(TEXT, MONEY, st.integers(0, 2**49)), max_size=5))
def test_what_is_written_is_read_back_to_the_last_digit(form: str, items: list[tuple[str, int, int]]) -> None:
    def row(text: str, cost: int, tokens: int) -> Row:
        group = ("2026-02-03", "", "", text, KEY, text, text) if form == "focus" else ("2026-02-03", text)
        return Row(group, input_tokens=tokens, cost_nano=cost)

    rows = [row(*item) for item in items]
    order = order_for(form)
    with tempfile.TemporaryDirectory() as folder:
        path, built = make(Path(folder), form, rows)
        found = list(order.form.read(path, order.form.columns(order.query)))

    from tests.reports.samples import Called

    assert found == [order.form.cells(one, order.query, Called()) for one in rows]
    money = built.tally.totals()["BilledCost" if form == "focus" else "cost_usd"]
    assert Decimal(money) == Decimal(sum(one.cost_nano for one in rows)).scaleb(-9)


@pytest.mark.parametrize("form", ["csv", "focus"])
@settings(max_examples=40)
@given(start=st.sampled_from("=+-@\t\r\n\uff1d\uff20"), rest=TEXT)
def test_no_cell_of_a_csv_is_a_formula(form: str, start: str, rest: str) -> None:
    text = start + rest
    group = ("2026-02-03", text, text, text, text, text, text) if form == "focus" else ("2026-02-03", text)

    found = lines(form, [Row(group)])

    assert [cell for cell in found[0].values() if is_formula(cell)] == []
    assert f"'{text}" in found[0].values()


def test_csv_is_that_of_rfc_4180(tmp_path: Path) -> None:
    path, _ = make(tmp_path, "csv", [Row(("2026-02-03", 'a "b", c\nd'), cost_nano=1)])

    assert path.read_bytes() == (
        b"day,model,requests,errors,input_tokens,output_tokens,cached_input_tokens,reasoning_tokens,"
        b"unpriced_requests,cost_usd\r\n"
        b'2026-02-03,"a ""b"", c\nd",3,1,1000,200,10,5,0,0.000000001\r\n'
    )


def test_json_lines_hold_numbers_and_money_as_text(tmp_path: Path) -> None:
    path, _ = make(tmp_path, "jsonl", [Row(("2026-02-03", "=1+1"), cost_nano=1)])

    row = json.loads(path.read_text())
    assert (row["model"], row["requests"], row["cost_usd"]) == ("=1+1", 3, "0.000000001")


def test_ids_stand_beside_their_names(tmp_path: Path) -> None:
    query = ReportQuery(QUERY.start, QUERY.end, "UTC", ("team", "key"), {})

    row = lines("csv", [Row(("a" * 32, KEY))], query)[0]

    assert row["key"] == KEY
    assert row["key_name"] == "key, “the c0”"
    assert row["team_name"] == "team, “the aa”"


def test_a_workbook_has_numbers_totals_and_no_formula(tmp_path: Path) -> None:
    from openpyxl import load_workbook

    path, _ = make(tmp_path, "xlsx", [Row(("2026-02-03", "=1+1"), cost_nano=1), *rows_for("xlsx", 2)])
    book = load_workbook(path)
    sheet, totals = book["Usage"], book["Totals and query"]

    assert (sheet["B2"].value, sheet["B2"].data_type, sheet["B2"].quotePrefix) == ("=1+1", "s", True)
    assert (sheet["C2"].value, sheet["C2"].data_type) == (3, "n")
    assert (sheet["J2"].value, sheet["J2"].data_type, sheet["K2"].value) == (1e-9, "n", "0.000000001")
    named = {row[0]: row[1] for row in totals.iter_rows(values_only=True) if row and row[0]}
    assert named["rows"] == 3
    assert named["requests"] == sum(row[0].value for row in sheet["C2:C4"])
    assert named["Time zone"] == "UTC"
    assert named["From"] == "2026-02-01T00:00:00Z"


def test_a_pdf_has_pages_with_numbers_and_the_digest_of_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reportlab import rl_config

    monkeypatch.setattr(rl_config, "pageCompression", 0)
    rows = [Row(("2026-02-03", "日本 <b>&model with a long name</b>")), *rows_for("pdf", 120)]
    path, built = make(tmp_path, "pdf", rows)
    content = path.read_bytes().decode("latin-1")

    assert content.startswith("%PDF-")
    pages = content.count("/Type /Page\n")
    assert pages > 2
    assert f"Page {pages} of {pages}" in content
    assert built.tally.sha256[:20] in content
    assert "65e5" in content


@pytest.mark.parametrize(("form", "module"), [("pdf", pdf_file), ("xlsx", xlsx_file)])
def test_too_many_rows_are_refused_with_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, module: object
) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 20)

    with pytest.raises(TooManyRows, match="at most 20 rows"):
        make(tmp_path, form, rows_for(form, 21))


def test_focus_has_the_mandatory_columns_and_nothing_is_empty_that_may_not_be() -> None:
    rows = [Row(("2026-02-03", "", "", "", "", "acme/small", ""), 1, 1, 0, 0), *rows_for("focus", 5)]

    found = lines("focus", rows)

    assert set(found[0]) >= MANDATORY
    own = [name for name in found[0] if name.startswith("x_")]
    assert list(found[0]) == [*sorted(set(found[0]) - set(own)), *own]
    for row in found:
        assert {name for name, cell in row.items() if cell == ""} <= NULLABLE
        assert row["ListCost"] == row["ContractedCost"] == row["EffectiveCost"] == row["BilledCost"]
        assert (row["BillingCurrency"], row["ChargeCategory"], row["ChargeClass"]) == ("USD", "Usage", "")
        assert (row["ServiceCategory"], row["ServiceSubcategory"]) == (
            "AI and Machine Learning",
            "Generative AI",
        )
        assert json.loads(row["Tags"] or "{}") in ({}, {"user": "alice"})
    assert (found[0]["PricingQuantity"], found[0]["PricingUnit"]) == ("1", "Requests")
    assert found[1]["ConsumedUnit"] == "Tokens"


def test_periods_of_focus_are_days_and_months_of_the_reports_zone() -> None:
    query = ReportQuery(QUERY.start, QUERY.end, "America/New_York", (), {})

    row = lines("focus", [Row(("2026-03-08", "", "", "", KEY, "acme/small", "acme"))], query)[0]
    long = ReportQuery(QUERY.start, QUERY.end.replace(month=6), "America/New_York", (), {})
    short_day = lines("focus", [Row(("2026-03-08", "", "", "", KEY, "acme/small", "acme"))], long)[0]

    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == (
        "2026-03-01T05:00:00Z",
        "2026-04-01T04:00:00Z",
    )
    assert (short_day["ChargePeriodStart"], short_day["ChargePeriodEnd"]) == (
        "2026-03-08T05:00:00Z",
        "2026-03-09T04:00:00Z",
    )


def test_focus_says_what_it_has_no_place_for() -> None:
    for name in ("tag", "end_user"):
        with pytest.raises(InvalidRequest) as caught:
            FORMATS["focus"].query(ReportQuery(QUERY.start, QUERY.end, "UTC", (), {name: ("a",)}))
        assert caught.value.param == f"filters.{name}"


@pytest.mark.parametrize("name", ["", "CSV", "html", None, 5, []])
def test_an_unknown_format_is_refused(name: object) -> None:
    with pytest.raises(InvalidRequest, match="csv, xlsx, pdf, jsonl, focus"):
        format_named(name)


@pytest.mark.parametrize("form", ["csv", "jsonl", "focus"])
def test_text_formats_take_no_more_memory_for_more_rows(tmp_path: Path, form: str) -> None:
    sample = rows_for(form, 50)

    def rows(count: int) -> Iterator[Row]:
        for number in range(count):
            yield sample[number % 50]

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            make(tmp_path, form, rows(count))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few = peak(800)

    assert peak(6_000) < few + 400_000

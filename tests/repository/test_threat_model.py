"""The threat model names tests that are there, and every boundary answers for each kind of threat."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")


def test_every_proof_is_a_file_with_tests() -> None:
    proofs = set(re.findall(r"`(tests/[\w/]+\.py)`", PAGE))

    for proof in proofs:
        assert "def test_" in (ROOT / proof).read_text(encoding="utf-8"), proof
    assert len(proofs) > 40


def test_every_threat_has_a_proof() -> None:
    rows = re.findall(r"^\| (?:[STRIDE](?:, [STRIDE])*) \|.*$", PAGE, re.MULTILINE)

    assert [row for row in rows if "`tests/" not in row] == []
    assert {letter for row in rows for letter in re.findall(r"[STRIDE]", row.split("|")[1])} == set("STRIDE")
    assert len(rows) > 30

"""A large upload passes through the server without being held in its memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.doors.gateway import Gateway, database_template
from tests.doors.rows import MODEL
from tests.fakes.behaviours import json_answer
from tests.fakes.vendor import FakeVendor
from tests.media.forms import Part, content_type, form

pytestmark = pytest.mark.soak
UPLOAD_BYTES = 50 * 1024 * 1024
MAX_GROWTH_KIB = 5 * 1024
PIECE = bytes(range(256)) * 256


@pytest.fixture(scope="module")
def vendor() -> Iterator[FakeVendor]:
    with FakeVendor() as running:
        running.on_path("/v1/audio/transcriptions", json_answer({"text": "Hello"}))
        yield running


@pytest.fixture(scope="module")
def gateway(vendor: FakeVendor) -> Iterator[Gateway]:
    with database_template(vendor.port) as template, Gateway(template.copy()) as running:
        yield running


def peak_kib(pid: int) -> int:
    """The most memory that a process has had since it was last asked."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    assert found is not None
    return int(found[1])


def upload(client: httpx.Client, size: int, *, is_model_first: bool) -> None:
    """Send a form of about this size, made while it is sent."""
    model, mark = Part("model", MODEL.encode()), b"@@@"
    parts = [model, Part("file", mark, "a.wav")] if is_model_first else [Part("file", mark, "a.wav"), model]
    before, _, after = form(parts).partition(mark)
    pieces = size // len(PIECE)

    def body() -> Iterator[bytes]:
        yield before
        for _ in range(pieces):
            yield PIECE
        yield after

    length = len(before) + pieces * len(PIECE) + len(after)
    headers = {"content-type": content_type(), "content-length": str(length)}
    answer = client.post("/v1/audio/transcriptions", content=body(), headers=headers)
    assert answer.json() == {"text": "Hello"}


@pytest.mark.parametrize("is_model_first", [True, False])
def test_a_large_upload_takes_no_memory(gateway: Gateway, vendor: FakeVendor, is_model_first: bool) -> None:
    (pid,) = gateway.server_pids()
    with gateway.client(timeout=120.0) as client:
        for _ in range(3):
            upload(client, 2 * 1024 * 1024, is_model_first=is_model_first)
        before = peak_kib(pid)

        upload(client, UPLOAD_BYTES, is_model_first=is_model_first)

    assert len(vendor.requests[-1].body) > UPLOAD_BYTES - len(PIECE)
    assert peak_kib(pid) - before < MAX_GROWTH_KIB

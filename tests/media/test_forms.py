"""Forms are read alike however they are cut, and refused where two readers could differ."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_project.core.forms import FormError, FormScanner, Span, boundary_of, content_type_of
from tests.media.forms import BOUNDARY, Part, content_type, form, read

KEPT = frozenset({"model", "user", "n"})
MODEL = Part("model", b"fake/whisper")
FILE = Part("file", b"RIFF\r\n--a-bound\r\n\r\n--", "a.wav")
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_[]", min_size=1, max_size=12).filter(
    lambda name: name not in KEPT
)
CONTENTS = (
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from([b"\r\n", b"--", b"\r\n--a-b", b"--a-boundar", b"\r", b"-"]),
        ),
        max_size=6,
    )
    .map(b"".join)
    .filter(lambda content: b"--a-boundary" not in content)
)
PARTS = st.lists(
    st.builds(Part, NAMES, CONTENTS, st.one_of(st.none(), st.sampled_from(["a.wav", "b c.png"]))), max_size=4
)


def scanned(body: bytes, cuts: list[int] | None = None) -> FormScanner:
    scanner = FormScanner(BOUNDARY.encode(), kept=KEPT)
    for start, end in pairwise([0, *sorted(cuts or ()), len(body)]):
        scanner.feed(body[start:end])
    scanner.finish()
    return scanner


@settings(max_examples=80)
@given(before=PARTS, after=PARTS, data=st.data())
def test_a_form_says_the_same_however_it_is_cut(
    before: list[Part], after: list[Part], data: st.DataObject
) -> None:
    body = form([*before, MODEL, *after])
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8))

    scanner = scanned(body, cuts)

    assert scanner.fields == {"model": "fake/whisper"}
    start, end = scanner.spans["model"]
    assert body[start:end] == MODEL.written()
    assert scanner.files == sum(part.filename is not None for part in (*before, *after))


def test_a_form_may_come_byte_by_byte() -> None:
    body = form([FILE, Part("user", "ünï".encode()), MODEL])

    scanner = scanned(body, list(range(len(body))))

    assert scanner.fields == {"user": "ünï", "model": "fake/whisper"}


@settings(max_examples=50)
@given(parts=PARTS, model=st.sampled_from(["gpt", "x" * 100]))
def test_what_is_put_in_the_models_place_is_what_a_server_reads(parts: list[Part], model: str) -> None:
    body = form([*parts, MODEL, FILE])
    start, end = scanned(body).spans["model"]

    sent = body[:start] + Part("model", model.encode()).written() + body[end:]

    assert scanned(sent).fields == {"model": model}
    assert [part.name for part in read(sent, content_type())] == [
        *(part.name for part in parts),
        "model",
        "file",
    ]


def test_an_unfinished_form_tells_what_it_knows() -> None:
    body = form([MODEL, FILE])
    scanner = FormScanner(BOUNDARY.encode(), kept=KEPT)

    scanner.feed(body[: body.index(b"RIFF")])

    assert (scanner.fields, scanner.files) == ({"model": "fake/whisper"}, 1)
    assert scanner.spans["model"] == Span(body.index(b"Content"), body.index(b"\r\n--a-boundary\r\n", 20))
    with pytest.raises(FormError, match="ends before"):
        scanner.finish()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "ends before"),
        (b"preamble\r\n" + form([MODEL]), "does not begin"),
        (form([MODEL]).replace(b"--\r\n", b"--\r\nmore"), "follows the end"),
        (form([MODEL])[:-4], "ends before"),
        (form([MODEL, FILE, MODEL]), "twice"),
        (form([Part("model", b"x" * 1025)]), "longer than"),
        (form([Part("model", b"\xff")]), "UTF-8"),
        (form([Part("model", b"m", "model.txt")]), "not a file"),
        # Others might end the part at any of these.
        (form([Part("file", b"x\n--a-boundary\n", "a")]), "no part ends"),
        (form([Part("file", b"x--a-boundary--", "a")]), "no part ends"),
        (form([Part("file", b"x\r\n--a-boundary \r\n", "a")]), "no part ends"),
        (form([Part("file", b"x\r\n--a-boundaryz\r\n", "a")]), "no part ends"),
        (form([MODEL]).replace(b"\r\n\r\nfake", b"\r\nfake"), "ends before"),
        (form([MODEL]).replace(b"\r\n", b"\n"), "no part ends"),
        (form([MODEL]).replace(b'name="model"', b'name="mo\\del"'), "readable|not usable"),
        (form([MODEL]).replace(b'name="model"', b'name="mo%64el"'), "not usable"),
        (form([MODEL]).replace(b'name="model"', b"name*=utf-8''model"), "readable"),
        (form([MODEL]).replace(b'name="model"', b'name="x"; name="model"'), "readable"),
        (form([MODEL]).replace(b'name="model"', b'name="x"; filename="\\"; name="model"'), "readable"),
        (form([MODEL]).replace(b"form-data", b"attachment"), "no disposition"),
        (
            form([MODEL]).replace(b"\r\n\r\n", b"\r\nContent-Disposition: form-data\r\n\r\n"),
            "two dispositions",
        ),
        (form([MODEL]).replace(b"\r\n\r\n", b"\r\n folded\r\n\r\n"), "not readable"),
        (
            form([MODEL]).replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"),
            "transfer encoding",
        ),
        (form([MODEL]).replace(b"\r\n\r\n", b"\r\nX-A: " + b"x" * 9000 + b"\r\n\r\n"), "larger than"),
        (form([Part(f"f{number}", b"") for number in range(1001)]), "more than 1000"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(FormError, match=reason):
        scanned(body)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data;boundary="a b=c"', b"a b=c"),
        ("multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxk", b"----WebKitFormBoundary7MA4YWxk"),
    ],
)
def test_the_boundary_is_found_in_the_content_type(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary
    assert boundary_of(content_type_of(boundary)) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        f"multipart/form-data; boundary={'x' * 71}",
        "multipart/form-data; boundary=a; boundary=b",
        'multipart/form-data; boundary="a\r\nb"',
        'multipart/form-data; boundary="a "',
        "multipart/mixed; boundary=abc",
    ],
)
def test_other_content_types_are_refused(content_type: str) -> None:
    with pytest.raises(FormError):
        boundary_of(content_type)

"""What a conversation means survives the way to Google and back, whatever it holds."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway_project.core import sse
from gateway_project.core.codec import loads
from tests.providers.google_fake import Request, answer_of, parts_of, stream_of
from tests.providers.mind import Said
from upstreams_app.providers.call_ids import join_id, split_id
from upstreams_app.providers.gemini import provider
from upstreams_app.providers.wire import Site

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_word = st.from_regex(r"[a-z_]{1,10}", fullmatch=True)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_arguments = st.dictionaries(_text, _values, max_size=3)
_said = st.builds(
    Said,
    text=_text.filter(str.strip),
    reasoning=_text,
    calls=st.lists(st.tuples(_word, _arguments), max_size=3).map(tuple),
    input=st.integers(0, 10**6),
    output=st.integers(500, 10**6),
    thought=st.integers(0, 500),
)


def _ask(messages: list[Any], *, is_stream: bool = False, model: str = "gemini-3-flash") -> Any:
    fields = {"messages": messages, "stream": is_stream}
    return provider().exchange("/chat/completions", fields, model=model, site=Site({}, ""))


@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=40), st.text(st.characters(categories=["L", "N"]), max_size=20))
def test_a_signature_survives_in_an_id(signature: bytes, call_id: str) -> None:
    encoded = b64encode(signature).decode()

    joined = join_id(call_id, encoded)

    assert split_id(joined) == (call_id, encoded)
    assert split_id(call_id) == (call_id, "")


@settings(max_examples=60)
@given(_said)
def test_what_google_says_goes_back_as_it_was(said: Said) -> None:
    """An answer with its calls, put into the next request, is what the model said."""
    parts = parts_of(said, signs=True)
    answer = json.dumps(answer_of(parts, said)).encode()

    message = loads(_ask([{"role": "user", "content": "x"}]).answer(answer))["choices"][0]["message"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": str(number)}
        for number, call in reversed(list(enumerate(message.get("tool_calls", []))))
    ]
    sent = loads(_ask([{"role": "user", "content": "x"}, message, *results]).request.body)

    Request.read(sent)
    assert sent["contents"][1]["parts"] == [part for part in parts if not part.get("thought")]
    responses = [part["functionResponse"] for part in sent["contents"][2]["parts"]] if results else []
    assert [(item["id"], item["name"]) for item in responses] == [
        (f"fc-{number}", name) for number, (name, _) in enumerate(said.calls)
    ]
    assert [item["response"]["output"] for item in responses] == [str(n) for n in range(len(said.calls))]


@settings(max_examples=40)
@given(_said, st.integers(1, 50))
def test_a_stream_says_what_the_whole_answer_says(said: Said, size: int) -> None:
    asked = [{"role": "user", "content": "x"}]
    whole = loads(_ask(asked).answer(json.dumps(answer_of(parts_of(said, signs=True), said)).encode()))
    body = b"".join(sse.event(json.dumps(piece).encode()) for piece in stream_of(said, signs=True))

    exchange = _ask(asked, is_stream=True)
    made = b"".join(exchange.feed(body[at : at + size]) for at in range(0, len(body), size))
    made += exchange.finish()

    chunks = [loads(data) for _, data in sse.iter_events(made) if data and data != b"[DONE]"]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    message = whole["choices"][0]["message"]
    calls = [
        {"id": call["id"], "type": "function", "function": call["function"]}
        for delta in deltas
        for call in delta.get("tool_calls", [])
    ]
    # A fake's stream cuts at words, and leaves out the space before the first.
    streamed = "".join(delta.get("content") or "" for delta in deltas)
    assert streamed == (message["content"] or "").lstrip()
    assert calls == message.get("tool_calls", [])
    assert chunks[-1]["usage"] == whole["usage"]
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]][-1] == (
        whole["choices"][0]["finish_reason"]
    )


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), _text), min_size=1, max_size=6), _text)
def test_no_word_of_a_conversation_is_lost(turns: list[tuple[str, str]], system: str) -> None:
    # Else nothing is said, which is refused.
    assume(any(role == "user" or text for role, text in turns))
    messages: list[Any] = [{"role": role, "content": text} for role, text in turns]

    sent = loads(_ask([{"role": "system", "content": system}, *messages]).request.body)

    Request.read(sent)
    said = [(content["role"], part["text"]) for content in sent["contents"] for part in content["parts"]]
    roles = {"user": "user", "assistant": "model"}
    expected = [(roles[role], text or " ") for role, text in turns if text or role == "user"]
    assert said == expected
    assert [content["role"] for content in sent["contents"]] == [
        role for index, (role, _) in enumerate(expected) if index == 0 or expected[index - 1][0] != role
    ]
    assert "".join(part["text"] for part in sent.get("systemInstruction", {"parts": []})["parts"]) == system

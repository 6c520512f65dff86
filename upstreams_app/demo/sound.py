"""Speech without a voice: a tone for each word; the words stand in the file, to be written down again."""

from __future__ import annotations

import base64
import math
import re
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from gateway_project.core.errors import InvalidRequest
from upstreams_app.demo.catalogue import find_model
from upstreams_app.demo.fields import JsonObject, parse_body, wrong_type, wrong_value
from upstreams_app.demo.forms import Form
from upstreams_app.demo.tokens import count_tokens, split_tokens
from upstreams_app.demo.wire import DemoAnswer, event_answer, json_answer

RATE: Final = 8000
MAX_CHARS: Final = 4096
# What a word and a pause take; a text of the greatest length is half a minute.
WORD_S: Final = 0.1
MAX_WORDS: Final = 300
SPOKEN: Final = b"SAID"
_FORMATS: Final = frozenset({"json", "text", "srt", "verbose_json", "vtt"})
_WORD: Final = re.compile(r"\w+")
_TONES: Final = 12


async def answer_speech(body: bytes) -> DemoAnswer:
    """POST /audio/speech: WAV, or its samples alone."""
    fields = parse_body(body)
    find_model(fields.get("model"), "other", only="speech")
    text = fields.get("input")
    if not isinstance(text, str):
        raise wrong_type("input", "a string", text)
    if not 1 <= len(text) <= MAX_CHARS:
        raise wrong_value("input", f"expected 1 to {MAX_CHARS} characters.")
    wanted = fields.get("response_format") or "wav"
    if wanted not in ("wav", "pcm"):
        raise wrong_value("response_format", "the demo speaks 'wav' and 'pcm'.")
    samples = tones(text)
    sound = wav(samples, text) if wanted == "wav" else samples
    if fields.get("stream_format") == "sse":
        return event_answer(_speech_events(sound, text, len(samples)))
    kind = "audio/wav" if wanted == "wav" else "audio/pcm"
    return DemoAnswer(200, {"content-type": kind}, body=sound)


def tones(text: str) -> bytes:
    """Samples of 16 bits: for each word a tone that its letters decide, and a pause."""
    words = _WORD.findall(text)[:MAX_WORDS] or ["?"]
    silence = bytes(2 * int(RATE * WORD_S / 4))
    return b"".join(_tone(sum(map(ord, word)) % _TONES) + silence for word in words)


@cache
def _tone(number: int) -> bytes:
    step = 2 * math.pi * 220 * 2 ** (number / _TONES) / RATE
    wave = [int(8000 * math.sin(step * index)) for index in range(int(RATE * WORD_S))]
    return array("h", wave).tobytes()


def wav(samples: bytes, text: str) -> bytes:
    """A WAV file of one channel, with the text in a chunk of its own."""
    said = text.encode()
    said += b"\0" * (len(said) % 2)
    shape = struct.pack("<HHIIHH", 1, 1, RATE, RATE * 2, 2, 16)
    chunks = b"".join(
        name + struct.pack("<I", len(content)) + content
        for name, content in ((b"fmt ", shape), (SPOKEN, said), (b"data", samples))
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def _speech_events(sound: bytes, text: str, sample_bytes: int) -> Iterator[JsonObject]:
    for start in range(0, len(sound), 16_384):
        piece = base64.b64encode(sound[start : start + 16_384]).decode()
        yield {"type": "speech.audio.delta", "audio": piece}
    given, made = count_tokens(text), max(sample_bytes * 20 // (2 * RATE), 1)
    usage = {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}
    yield {"type": "speech.audio.done", "usage": usage}


@dataclass(frozen=True, slots=True)
class Recording:
    """What can be told of a sound file: its length, and what demo/speech said in it."""

    seconds: float
    text: str


def heard(content: bytes) -> Recording:
    """What is in a file; of other formats than WAV the length is guessed by the size."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        seconds = round(len(content) / 16_000, 2)
        return Recording(seconds, f"A recording of about {seconds:g} seconds.")
    bytes_per_s, samples, said = 0, 0, ""
    at = 12
    while at + 8 <= len(content):
        name, length = content[at : at + 4], int(struct.unpack_from("<I", content, at + 4)[0])
        if name == b"fmt " and length >= 16 and at + 24 <= len(content):
            bytes_per_s = int(struct.unpack_from("<I", content, at + 16)[0])
        elif name == SPOKEN:
            said = content[at + 8 : at + 8 + length].rstrip(b"\0").decode("utf-8", "replace")
        elif name == b"data":
            samples = min(length, len(content) - at - 8)
        at += 8 + length + length % 2
    seconds = round(samples / bytes_per_s, 2) if bytes_per_s else 0.0
    return Recording(seconds, said or f"A recording of {seconds:g} seconds.")


async def answer_recording(form: Form) -> DemoAnswer:
    """POST /audio/transcriptions and /audio/translations, in each of OpenAI's formats."""
    texts, files = form.read()
    find_model(texts.get("model"), "other", only="transcribe")
    content = files.get("file")
    if content is None:
        raise InvalidRequest("You must provide the file 'file'.", param="file")
    wanted = texts.get("response_format") or "json"
    if wanted not in _FORMATS:
        raise wrong_value("response_format", f"expected one of {', '.join(sorted(_FORMATS))}.")
    recording = heard(content)
    if texts.get("stream") == "true":
        return event_answer(_text_events(recording))
    return _written(recording, wanted)


def _written(recording: Recording, wanted: str) -> DemoAnswer:
    text, end = recording.text, recording.seconds
    usage = {"type": "duration", "seconds": end}
    if wanted == "json":
        return json_answer({"text": text, "usage": usage})
    if wanted == "verbose_json":
        segment = {"id": 0, "seek": 0, "start": 0.0, "end": end, "text": text, "tokens": []}
        segment |= {"temperature": 0.0, "avg_logprob": 0.0, "compression_ratio": 1.0, "no_speech_prob": 0.0}
        about = {"task": "transcribe", "language": "english", "duration": end}
        return json_answer({**about, "text": text, "segments": [segment], "usage": usage})
    kind = {"srt": "application/x-subrip", "vtt": "text/vtt; charset=utf-8"}.get(wanted)
    stamp = f"{_stamp(0)} --> {_stamp(end)}"
    body = {
        "text": f"{text}\n",
        "srt": f"1\n{stamp.replace('.', ',')}\n{text}\n\n",
        "vtt": f"WEBVTT\n\n{stamp}\n{text}\n\n",
    }[wanted]
    return DemoAnswer(200, {"content-type": kind or "text/plain; charset=utf-8"}, body=body.encode())


def _stamp(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours:02}:{minutes:02}:{rest:06.3f}"


def _text_events(recording: Recording) -> Iterator[JsonObject]:
    for token in split_tokens(recording.text):
        yield {"type": "transcript.text.delta", "delta": token}
    given, made = max(int(recording.seconds * 10), 1), count_tokens(recording.text)
    usage = {
        "type": "tokens",
        "input_tokens": given,
        "input_token_details": {"text_tokens": 0, "audio_tokens": given},
        "output_tokens": made,
        "total_tokens": given + made,
    }
    yield {"type": "transcript.text.done", "text": recording.text, "usage": usage}

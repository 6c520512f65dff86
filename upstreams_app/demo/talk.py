"""What the demo says: a few rules from the last user message, and what the tools returned."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from upstreams_app.demo.conversation import Conversation

MAX_COUNT: Final = 1000
MAX_QUOTE: Final = 400
MAX_READ: Final = 4000
_GREETING: Final = re.compile(
    r"\s*(?:hello|hi|hey|good (?:morning|day|evening)|hallo|bonjour)\b[^?]{0,40}$", re.I
)
_COUNT: Final = re.compile(r"\bcount (?:up )?(?:from 1 )?to (\d{1,4})\b", re.I)
_SUM: Final = re.compile(r"(-?\d{1,12}(?:\.\d{1,6})?)\s?([-+*/×x÷])\s?(-?\d{1,12}(?:\.\d{1,6})?)")
_SAY: Final = re.compile(
    r"\b(?:say|repeat|reply with|answer with)(?: exactly| only| just)?:?\s+([^\n]{1,200})", re.I
)
_THOUGHTS: Final = (
    "The user wants an answer to: “{question}”.",
    "I look at the rules that I have: greetings, sums, counting, tools, schemas.",
    "I check which of them fits, and take the first.",
    "I compare the result with the question once more.",
)
_EFFORTS: Final = {"none": 0, "minimal": 1, "low": 2, "medium": 3, "high": 4, "xhigh": 4, "max": 4}


def reply_to(conversation: Conversation) -> str:
    """The text of an answer."""
    results = conversation.results_of_turn()
    if results:
        return "\n".join(f"According to {name}: {text}" for name, text in results)
    question = conversation.question
    sight = _sight(question.images)
    return " ".join(
        part for part in (sight, _spoken(question.text[:MAX_READ], has_image=bool(sight))) if part
    )


def thoughts_on(conversation: Conversation, effort: str | None) -> str:
    """What the reasoning model thinks before it answers: one to four sentences by effort, none for `none`."""
    sentences = _THOUGHTS[: _EFFORTS.get(effort or "medium", 3)]
    return " ".join(sentences).format_map({"question": _quote(conversation.question.text[:MAX_READ])})


def _sight(images: int) -> str:
    if not images:
        return ""
    return "I see an image." if images == 1 else f"I see {images} images."


def _spoken(text: str, *, has_image: bool) -> str:
    if not text.strip():
        return "" if has_image else "Hello! How can I help you?"
    if _GREETING.match(text):
        return "Hello! How can I help you?"
    if found := _COUNT.search(text):
        return ", ".join(str(number) for number in range(1, min(int(found[1]), MAX_COUNT) + 1))
    if found := _SUM.search(text):
        return _calculated(*found.groups())
    if found := _SAY.search(text):
        return found[1].strip().strip("\"'“”")
    return f"You asked: “{_quote(text)}”. I am the demo model: I answer by simple rules, without a real LLM."


def _quote(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_QUOTE else f"{text[:MAX_QUOTE]}…"


def _calculated(left: str, sign: str, right: str) -> str:
    first, second = Fraction(left), Fraction(right)
    if sign in "/÷" and second == 0:
        return f"{left} {sign} {right} has no result: nothing can be divided by zero."
    if sign in "/÷":
        result = first / second
    elif sign in "+-":
        result = first + second if sign == "+" else first - second
    else:
        result = first * second
    shown = str(result) if result.denominator == 1 else f"{float(result):.10g}"
    return f"{left} {sign} {right} = {shown}"

"""Cortex, the large mixture: four stances, two who merge and correct them, one who answers, and a judge.

Eight calls of a model an answer, or six where the four agree or one of the two is down. The judge only says
what it thinks of the answer. Served as default/cortex.
"""

from agents import Agent
from agents_app.sdk.mixture import OWN_MODEL, Layer, MixtureModel, Proposer, advisory_judge, member

__gateway__ = {
    "display_name": "Cortex",
    "description": "Two layers of models and a judge: for hard questions that are worth eight calls.",
}

_stances = {
    "analyst": "Answer the last message by taking it apart: what is given, what follows, step by step.",
    "pragmatist": "Answer the last message with what somebody should do or know first, and why.",
    "skeptic": "Answer the last message, but doubt the obvious answer first: where does it fail?",
    "explorer": "Answer the last message in a way that few would think of, if there is a good one.",
}
_first = Layer(
    [Proposer(name, stance, member(name)) for name, stance in _stances.items()],
    quorum=2,
)
_second = Layer(
    [
        Proposer(
            "merger",
            "Merge the drafts into one answer to the last message: keep the strongest points of each.",
            member("merger"),
        ),
        Proposer(
            "corrector",
            "Find the mistakes and contradictions in the drafts, and answer the last message without them.",
            member("corrector"),
        ),
    ],
    # With one of them down the answer is made from the first layer alone.
    quorum=2,
)

agent = Agent(
    name="Cortex",
    instructions="You are Cortex, a careful assistant for hard questions. Answer in the language of the last "
    "message, as long as the question needs and no longer, and say what you are not sure of.",
    model=MixtureModel([_first, _second], member("lead", fallback=OWN_MODEL)),
    output_guardrails=[advisory_judge(member("judge"))],
)

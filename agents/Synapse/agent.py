"""Synapse, the moderate mixture: a plan, three experts, a check of what they wrote, and one answer.

It fans out by itself and calls no tools, so any model will do: six calls of a model an answer, or five where
the experts agree. Served as default/synapse.
"""

from agents import Agent
from agents_app.sdk.mixture import OWN_MODEL, Layer, MixtureModel, Proposer, member

__gateway__ = {
    "display_name": "Synapse",
    "description": "A plan, three experts, a verifier, and one answer: for questions with several sides.",
}

_plan = Layer(
    [
        Proposer(
            "planner",
            "Don't answer the last message. List in at most six short lines what a good answer to it needs.",
            member("planner"),
        )
    ],
    # Whoever comes next can do without a plan.
    quorum=0,
)
_experts = Layer(
    [
        Proposer(
            "scholar",
            "Answer the last message as a scholar: facts, definitions, reasons, and how sure each is.",
            member("scholar"),
        ),
        Proposer(
            "engineer",
            "Answer the last message as an engineer: what works in practice, step by step, with numbers.",
            member("engineer"),
        ),
        Proposer(
            "skeptic",
            "Answer the last message as a skeptic: which assumption is wrong, what was forgotten, what then?",
            member("skeptic"),
        ),
    ],
    quorum=2,
)
_check = Layer(
    [
        Proposer(
            "verifier",
            "Don't answer the last message. Check the drafts: begin with 'Check:', and list what in them is "
            "wrong, contradicts another draft, or is missing; or say that you found nothing.",
            member("verifier"),
        )
    ],
    quorum=0,
    adds=True,
)

agent = Agent(
    name="Synapse",
    instructions="You are Synapse, a thorough assistant. Answer in the language of the last message: what "
    "matters most first, then the reasons, and what remains open.",
    model=MixtureModel([_plan, _experts, _check], member("aggregator", fallback=OWN_MODEL)),
)

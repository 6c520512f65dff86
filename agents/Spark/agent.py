"""Spark, the light mixture: two voices draft, a coordinator answers, with three specialists at hand.

Three calls of a model an answer, and more where the coordinator asks a specialist. Served as default/spark.
"""

from datetime import UTC, datetime

from agents import Agent, function_tool
from agents_app.sdk.mixture import OWN_MODEL, Layer, MixtureModel, Proposer, member

__gateway__ = {
    "display_name": "Spark",
    "description": "Quick, short answers from two voices, with a planner, a researcher and a writer at hand.",
}


@function_tool
def current_utc_time() -> str:
    """The date and the time of day now, in UTC."""
    return datetime.now(UTC).strftime("%A, %Y-%m-%d %H:%M UTC")


_planner = Agent(
    name="Spark Planner",
    instructions="Write a plan for the task: three to six numbered steps, each a short sentence.",
    model=member("planner"),
)
_researcher = Agent(
    name="Spark Researcher",
    instructions="Say what you know about the topic: three to five bullet points, and last a line that "
    "begins with 'Takeaway:'. Say so where you are not sure.",
    model=member("researcher"),
)
_writer = Agent(
    name="Spark Writer",
    instructions="Improve the text: clear, correct and short. Keep its meaning and its language. "
    "Write the improved text only.",
    model=member("writer"),
)

_direct = Proposer("direct", "Answer the last message directly and exactly.", member("direct"))
_doubter = Proposer(
    "doubter",
    "Look for the catch in the last message: what is easily got wrong? Then answer it.",
    member("doubter"),
)

agent = Agent(
    name="Spark",
    instructions="You are Spark, a helpful assistant. Answer in at most 120 words, unless more is asked for, "
    "and in the language of the last message.",
    model=MixtureModel(
        [Layer([_direct, _doubter])], member("coordinator", fallback=OWN_MODEL), tools_are_optional=True
    ),
    tools=[
        current_utc_time,
        _planner.as_tool("plan_task", "Makes a plan of three to six steps for a task.", max_turns=2),
        _researcher.as_tool("research_topic", "Collects what is known about a topic.", max_turns=2),
        _writer.as_tool("improve_text", "Improves a draft of a text.", max_turns=2),
    ],
)

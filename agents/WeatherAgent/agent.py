"""An agent with a tool: it is served as default/weatheragent as soon as this folder is in place."""

from agents import Agent, function_tool


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"In {city} it is sunny, 24 °C."


agent = Agent(
    name="WeatherAgent",
    handoff_description="Tells the weather of a city.",
    instructions="You tell the weather. Ask the tool, and answer in one sentence.",
    tools=[weather],
)

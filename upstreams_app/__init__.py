"""The LLM providers behind the door."""

"""Bodies, queries and answers of this app's routes, in LiteLLM's names."""

"""Bodies, queries and answers of this app's routes, in LiteLLM's names; `StrictModel` is every app's."""

from security_app.schemas.base import StrictModel

__all__ = ["StrictModel"]

"""Bodies, queries and answers of this app's routes, in LiteLLM's names."""

from security_app.schemas.base import ShortText, StrictModel

__all__ = ["ShortText", "StrictModel"]

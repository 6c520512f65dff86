"""The management routes of models and upstreams."""

from upstreams_app.api.models import router as models_router
from upstreams_app.api.upstreams import router as upstreams_router

__all__ = ["models_router", "upstreams_router"]

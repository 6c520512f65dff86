"""The management routes of models, upstreams and routes over them."""

from upstreams_app.api.models import router as models_router
from upstreams_app.api.routes import router as routes_router
from upstreams_app.api.simulation import router as simulation_router
from upstreams_app.api.upstreams import router as upstreams_router

__all__ = ["models_router", "routes_router", "simulation_router", "upstreams_router"]

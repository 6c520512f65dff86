"""The management routes of models, upstreams, routes over them and the cache."""

from upstreams_app.api.cache import router as cache_router
from upstreams_app.api.models import router as models_router
from upstreams_app.api.routes import router as routes_router
from upstreams_app.api.simulation import router as simulation_router
from upstreams_app.api.upstream_health import router as upstream_health_router
from upstreams_app.api.upstreams import router as upstreams_router

__all__ = [
    "cache_router",
    "models_router",
    "routes_router",
    "simulation_router",
    "upstream_health_router",
    "upstreams_router",
]

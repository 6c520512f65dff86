"""The admin of the upstreams app; importing it registers everything."""

from upstreams_app.admin import cache, health, routes, start_page, upstream_models, upstreams

__all__ = ["cache", "health", "routes", "start_page", "upstream_models", "upstreams"]

"""Anthropic's Messages API in front of everything that the gateway serves.

Requests become OpenAI's chat requests, which take the one path of all calls, and what comes of them becomes
Anthropic's messages and events again. The vendor's side of it is `upstreams_app.providers.anthropic`.
"""

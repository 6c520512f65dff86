"""The gateway as an MCP server: messages, what a key sees at a door, methods, session ids.

Nothing here knows HTTP; the doors are in gateway_project/api/mcp.py.
"""

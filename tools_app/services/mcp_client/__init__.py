"""The gateway as a client of MCP servers: transports, sessions, the pool, the lists.

`pool.py` is the door for who wants to call; what imports the SDK is imported where there is a server.
"""

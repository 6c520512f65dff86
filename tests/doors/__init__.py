"""The inference doors, asked from outside: a real server process, a fake vendor at the wire."""

"""Fakes at the wire: real servers on the loopback address that play the other side."""

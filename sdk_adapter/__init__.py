"""The path by which existing drop-in agents import the gateway's tools."""

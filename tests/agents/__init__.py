"""Agents: what a drop-in may be, and what clients get from one."""

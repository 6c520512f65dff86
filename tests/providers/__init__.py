"""Providers of other wire formats: shapes, streams, round trips, and the same prompts through all of them."""

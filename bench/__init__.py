"""Benchmarks: what the gateway costs, measured beside a bare relay in the same run.

`python -m bench` is the command; README.md says what is measured and how to read it. Nothing here
is imported by the product.
"""

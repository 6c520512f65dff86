"""The security section of the snapshot, and the one store that holds all sections.

Keys load incrementally: 100 000 of them cost about a second once, one change a few milliseconds.
"""

"""How one of several targets is chosen: what is known of each, strategies, affinity, and the plan of a call.

Nothing here does I/O; `services.attempts` carries plans out and reports what came of each attempt.
"""

"""The garbage collector of our processes: what is loaded at a start stays, and is no garbage.

As Python has it, a quarter of a start and of an end is looking for garbage among what was just loaded.
"""

from __future__ import annotations

import atexit
import gc


def look_rarely() -> None:
    """From now on, for as long as the process lives."""
    gc.set_threshold(50_000, 50, 100)


def spare() -> None:
    """Look rarely, and when the process ends, and all goes with it, at nothing; called before the imports."""
    look_rarely()
    # What is registered first runs last.
    atexit.register(gc.freeze)

"""Time between things that should not be done in every step."""

from __future__ import annotations

import time


class Clock:
    """Says when it is time to do something again that should not be done in every step."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0

    def due(self) -> bool:
        """True at first, then once in so many seconds."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self._seconds
        return True

"""The stretch of a file's bytes that is in memory while a capture is read from front to back.

A capture may be all there (its window never moves), or come block by block from a file, a pipe or a decompressor.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

WINDOW_BYTES = 8 << 20  # bytes; what is worked on should stay in the processor's cache


class Window:
    """Bytes of a capture.

    Attributes:
        buffer: uint8[size], what is in memory. It changes with `advance`: take copies of what shall outlive that.
        before: how many bytes of the file lie before it.
    """

    def __init__(self, buffer: np.ndarray, readinto: Callable[[memoryview], int] | None = None) -> None:
        """`readinto` fills a memory view as far as it can and returns the number of bytes, 0 at the end; without it,
        `buffer` is all there is."""
        self.buffer = buffer
        self.before = 0
        self._readinto = readinto
        self._store = np.empty(0, np.uint8)

    def advance(self, position: int) -> tuple[int, bool]:
        """Forget the bytes before `position` and take in as many as there is room for, at least one.

        Returns:
            where the byte at `position` lies now, and whether any came; False is the end.
        """
        if self._readinto is None:
            return position, False
        rest = self.buffer[position:]
        self.before += position
        filled = len(rest)
        room = max(WINDOW_BYTES, 2 * filled)
        store = self._store if room <= len(self._store) else np.empty(room, np.uint8)
        store[:filled] = rest
        while filled < len(store) and (count := self._readinto(store[filled:].data)):
            filled += count
        self._store, self.buffer = store, store[:filled]
        return 0, filled > len(rest)

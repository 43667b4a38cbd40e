"""How this process's memory is allocated while a network trains on CPUs."""

from __future__ import annotations

import ctypes

# of glibc's malloc.h
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory() -> None:
    """Keeps freed memory for the next allocation; for processes that train, until they end.

    By default glibc gives large blocks back to the kernel as soon as they are free. A step frees
    and allocates gigabytes of activations, which then come page by page, each set to zero first: a
    fifth of SkeletonCLR's step. Other C libraries stay as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_MMAP_MAX, 0)  # nothing lies in mappings of its own, which freeing removes
    mallopt(_TRIM_THRESHOLD, -1)  # the heap does not shrink
    mallopt(_ARENA_MAX, 1)  # new threads share it
    mallopt(_TOP_PAD, 64 << 20)  # heaps of threads that exist already: kept when they get empty

"""How the memory of processes that run networks on CPUs is allocated.

By default glibc gives large blocks back to the kernel as soon as they are free. A step frees and
allocates gigabytes of activations, which then come page by page, each set to zero first: a fifth of
SkeletonCLR's step. Here freed memory is kept until the process ends. Other C libraries ignore it.
"""

from __future__ import annotations

import ctypes

# Environment of a process that is still to start: the only way where threads other than the first
# allocate, as under Ray Train, since these have heaps of their own with blocks of up to 64 MB.
KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",  # nothing lies in mappings of its own, which freeing removes
    "MALLOC_TRIM_THRESHOLD_": str(2**62),  # the heap does not shrink
    "MALLOC_ARENA_MAX": "1",  # all threads share it
}
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """The same for this process, as far as its first thread allocates."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)

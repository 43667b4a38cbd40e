"""In processes of their own: what is set stays until they end."""

import os
import subprocess
import sys

from skelray.platform.training.allocation import KEEP_FREED_MEMORY

FAULTS = """
import resource, sys, threading
import torch
from skelray.platform.training.allocation import keep_freed_memory

def faults():
    "Pages that come anew for blocks of 100 MB that are freed at once."
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            torch.zeros(25 * 2**20)
        found = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    print(found)
"""
MAIN = "faults(); keep_freed_memory(); faults()"
THREAD = "thread = threading.Thread(target=faults); thread.start(); thread.join()"


def faults(program: str, **environment: str) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", f"{FAULTS}\n{program}"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    return [int(line) for line in done.stdout.split()]


def test_a_process_keeps_what_its_first_thread_frees():
    before, after = faults(MAIN)
    assert after * 2 < before


def test_a_process_started_so_keeps_what_any_thread_frees():
    (before,), (after,) = faults(THREAD), faults(THREAD, **KEEP_FREED_MEMORY)
    assert after * 2 < before

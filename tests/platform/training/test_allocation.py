"""In a process of its own: what is set stays until it ends."""

import subprocess
import sys

PROGRAM = """
import resource, threading
import torch
from skelray.platform.training.allocation import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.zeros(10 * 2**20)  # 40 MB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

found = []
def train():
    found.append(faults())
    keep_freed_memory()
    faults()
    found.append(faults())

thread = threading.Thread(target=train)  # as Ray Train does
thread.start()
thread.join()
print(*found)
"""


def test_freed_memory_is_not_given_back_to_come_again_page_by_page():
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after * 20 < before, (before, after)

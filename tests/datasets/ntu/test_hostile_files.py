"""`.skeleton` files that chance or malice made: read exactly as a slow parser does, or refused."""

from __future__ import annotations

import re
import time
import tracemalloc

import numpy as np
import pytest

from skelray.datasets.ntu.parser import parse_skeleton
from skelray.platform.errors import DataError
from tests.datasets.ntu.skeleton_text import assert_equals_slow, body_lines, slow_parse

MUTATIONS = (
    *(b" ", b"  ", b"\t", b"\r", b"\r\n", b"\n", b"\n\n", b"\0", b"\x0b", b"\xff", b"\xef\xbb\xbf"),
    *(b"nan", b"-Inf", b"nan(1)", b"0x1", b"1_0", b"1e39", b"1e-50", b"99999999999999999999"),
    *(b"+", b"-", b".", b"e5", b"0", b"#", b'"', b",", b"NA", b"1.#QNAN"),
)


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """The file with one to three pieces inserted, overwritten, removed or repeated elsewhere."""
    data = bytearray(content)
    for _ in range(random.integers(1, 4)):
        at, source = random.integers(len(data), size=2)
        length = random.choice([0, 1, 1, 5, 60])
        piece = MUTATIONS[random.integers(len(MUTATIONS))]
        repeated = bytes(data[source : source + length])
        data[at : at + length] = (piece, b"", piece, repeated)[random.integers(4)]
    return bytes(data)


def test_mutated_files_are_read_exactly_or_refused() -> None:
    """The slow parse accepts the same files and gives the same numbers."""
    random = np.random.default_rng(0)
    valid = "\n".join(["3", "1", *body_lines(0), "0", "1", *body_lines(1), ""]).encode()
    ends = (b"\n", b"\r\n")
    outcomes = {"read": 0, "refused": 0}
    for _ in range(600):
        content = mutated(valid.replace(b"\n", ends[random.integers(2)]), random)
        lines = content.count(b"\n") + 1
        try:
            expected = content.decode("ascii")
            slow_parse(expected)
        except ValueError:
            with pytest.raises(DataError) as caught:
                parse_skeleton(content, "mutated")
            line = re.match(r"mutated, line ([0-9]+): .*expected", str(caught.value))
            assert line and 1 <= int(line[1]) <= lines, caught.value
            outcomes["refused"] += 1
        else:
            assert_equals_slow(parse_skeleton(content, "mutated"), expected)
            outcomes["read"] += 1
    assert min(outcomes.values()) > 60, outcomes


HOSTILE = {
    "a billion frames": b"1000000000\n",
    "many frames": b"999999999\n",
    "a billion bodies": b"1\n1000000000\n",
    "many bodies": b"1\n999999999\n" + b"\n".join(map(str.encode, body_lines(0))) * 500,
    "lines of nothing": b"1\n" + b"\n" * 1_000_000 + b"1",
    "lines of ones": b"1\n" * 500_000,
    "one long line": b"1" * 1_000_000,
    "a long number": b"1\n1\n" + b"1" * 1_000_000 + b"x\n25\n",
    "many numbers": b"1\n1\n" + b"11 " * 100_000 + b"\n25\n" + b"1\n" * 30,
    "zeros": bytes(1_000_000),
    "random bytes": np.random.default_rng(0).bytes(1_000_000),
    "utf-16": "\n".join(["1", "1", *body_lines(0)]).encode("utf-16"),
    "utf-16 without mark": "\n".join(["1", "1", *body_lines(0)]).encode("utf-16-le"),
    "utf-8 with mark": "\n".join(["1", "1", *body_lines(0)]).encode("utf-8-sig"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_in_little_memory_and_time(case: str) -> None:
    content = HOSTILE[case]
    began = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"^hostile, line [0-9]+: ") as caught:
            parse_skeleton(content, "hostile")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 200
    assert peak < 200_000 + 11 * len(content)
    assert time.process_time() - began < 5

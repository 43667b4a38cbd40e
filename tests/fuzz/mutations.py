"""Damages files as disks, editors and attackers do: bytes, numbers, lines, pieces of others."""

from __future__ import annotations

import random

# tokens that readers trip over: counts too large, no numbers, signs, control characters
TOKENS = (
    b"-1", b"0", b"1", b"999999999", b"1000000000000000000000", b"1e309", b"-1e309", b"nan",
    b"inf", b"0x10", b"1_0", b"", b" ", b"\n", b"\r\n", b"\t", b"\x00", b"\xff\xfe", b"\xc3\x28",
    b'"', b"[", b"]", b"{", b"}", b",", b"null", b"true", b"../", b"(1000000000000,)", b"O", b"|O",
)  # fmt: skip
_MOST = 2**20  # bytes that a mutant may have


def mutate(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """One to four changes of `content`; pieces of `other`, a valid file too, may go in."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(_CHANGES)(content, other, rng)
    return content[:_MOST]


def _place(content: bytes, rng: random.Random) -> tuple[int, int]:
    """A short range of the content; heads of files, where the counts are, more often."""
    reach = len(content) if rng.random() < 0.6 else min(len(content), 200)
    start = rng.randrange(reach + 1)
    return start, min(len(content), start + rng.choice((0, 1, 1, 2, 4, 8, 64)))


def _flip(content: bytes, other: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(content: bytes, other: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _replace(content: bytes, other: bytes, rng: random.Random) -> bytes:
    start, end = _place(content, rng)
    return content[:start] + rng.choice(TOKENS) + content[end:]


def _random_bytes(content: bytes, other: bytes, rng: random.Random) -> bytes:
    start, end = _place(content, rng)
    return content[:start] + rng.randbytes(end - start) + content[end:]


def _token(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """Replaces one blank-separated token: a number of a text format."""
    tokens = content.split(b" ")
    tokens[rng.randrange(len(tokens))] = rng.choice(TOKENS)
    return b" ".join(tokens)


def _line(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """Loses, repeats, exchanges or replaces a line."""
    lines = content.split(b"\n")
    here, there = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            del lines[here]
        case 1:
            lines.insert(here, lines[there])
        case 2:
            lines[here], lines[there] = lines[there], lines[here]
        case _:
            lines[here] = rng.choice(TOKENS)
    return b"\n".join(lines)


def _splice(content: bytes, other: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)] + other[rng.randrange(len(other) + 1) :]


def _repeat(content: bytes, other: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:end] + content[start:end] * rng.choice((1, 2, 20)) + content[end:]


_CHANGES = (_flip, _truncate, _replace, _random_bytes, _token, _line, _splice, _repeat)

"""`.skeleton` text made by hand, and a slow parser of its own to compare with."""

from __future__ import annotations

import numpy as np

from skelray.datasets.ntu.parser import SkeletonFile


def joint_line(body: int, joint: int) -> str:
    """12 numbers that tell body, joint and column apart; the state is joint modulo 3."""
    numbers = [f"{body}.{joint:02d}{column:02d}5" for column in range(11)]
    return " ".join([*numbers, str(joint % 3)])


def body_lines(body: int) -> list[str]:
    """Header, joint count and joints of one body; its id does not fit into a float64."""
    header = f"{72057594037931101 + body} 0 1 1 1 1 0 0.0{body} -0.5 2"
    return [header, "25", *(joint_line(body, joint) for joint in range(25))]


def tiny_lines() -> list[str]:
    """Four frames with 1, 0, 3 and 0 bodies."""
    three = [line for body in (1, 2, 3) for line in body_lines(body)]
    return ["4", "1", *body_lines(0), "0", "3", *three, "0"]


Body = tuple[int, list[float], list[list[float]]]  # id, 9 header numbers, 25 x 12 numbers


def slow_parse(text: str) -> list[list[Body]]:
    """frames -> bodies, one number after the other; ValueError where a line does not fit."""
    lines = iter(text.replace("\r\n", "\n").rstrip().split("\n"))
    frames = []
    for _ in range(whole(next(lines, "").strip(), digits=9, least=1)):
        bodies = []
        for _ in range(whole(next(lines, "").strip(), digits=9)):
            header = numbers(next(lines, ""), 10)
            fits(whole(next(lines, "").strip(), digits=9) == 25)
            joints = [[float(n) for n in numbers(next(lines, ""), 12)] for _ in range(25)]
            for joint in joints:
                fits(all(abs(x) < 3.4e38 for x in joint[:3]) and joint[11] in (0, 1, 2))
            bodies.append((whole(header[0], digits=19), [float(n) for n in header[1:]], joints))
        frames.append(bodies)
    fits(next(lines, None) is None)
    return frames


def fits(true: bool) -> None:
    if not true:
        raise ValueError


def whole(token: str, *, digits: int, least: int = 0) -> int:
    fits(token.isascii() and token.isdigit() and len(token) <= digits)
    fits(least <= int(token) < 2**63)
    return int(token)


def numbers(line: str, count: int) -> list[str]:
    """What `float` takes but for underscores and other blanks than spaces and tabs."""
    tokens = [token for token in line.replace("\t", " ").split(" ") if token]
    fits(len(tokens) == count and line.isascii() and "_" not in line)
    for token in tokens:
        fits(token == token.strip())
        float(token)
    return tokens


def assert_equals_slow(parsed: SkeletonFile, text: str) -> None:
    """Every number of the fast parse is the nearest float32 of the slow one."""
    frames = slow_parse(text)
    assert parsed.frame_bodies.tolist() == [len(bodies) for bodies in frames]
    ids, headers, joints = [], [], []
    for body_id, header, rows in (body for frame in frames for body in frame):
        ids.append(body_id)
        headers.append(header)
        joints.append(rows)
    assert parsed.body_id.tolist() == ids
    with np.errstate(over="ignore"):  # colour and header may be infinite
        header32 = np.array(headers).reshape(-1, 9).astype(np.float32)
        joints32 = np.array(joints).reshape(-1, 25, 12).astype(np.float32)
    np.testing.assert_array_equal(parsed.body_header, header32, strict=True)
    np.testing.assert_array_equal(parsed.xyz, joints32[..., :3], strict=True)
    np.testing.assert_array_equal(parsed.color_xy, joints32[..., 5:7], strict=True)
    np.testing.assert_array_equal(parsed.joint_state, joints32[..., 11])

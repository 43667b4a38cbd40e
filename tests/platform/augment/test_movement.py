from __future__ import annotations

import math

import torch

from skelray.platform.augment.movement import ANGLES, SCALES, SHIFTS, random_move
from skelray.platform.method import Draws, key_of

FRAMES = 12


def draws() -> Draws:
    return Draws(3, 1, torch.tensor([key_of(name) for name in "abc"]))


def moving(seed: int = 0) -> torch.Tensor:
    """Two persons of four joints; the second is missing in the last half."""
    x = torch.randn(3, 3, FRAMES, 4, 2, generator=torch.Generator().manual_seed(seed))
    x[:, :, FRAMES // 2 :, :, 1] = 0.0
    return x


def slow_move(x: torch.Tensor, sample: int) -> torch.Tensor:
    """As the definition says, frame by frame and joint by joint."""
    given = draws()
    names = {"angle": ANGLES, "scale": SCALES, "shift_x": SHIFTS, "shift_y": SHIFTS}
    ends = {
        name: [choices[k] for k in given.integers(f"m/{name}", 2, high=len(choices))[sample]]
        for name, choices in names.items()
    }
    moved = x.clone()
    for t in range(FRAMES):
        share = t / (FRAMES - 1)
        now = {name: start + (end - start) * share for name, (start, end) in ends.items()}
        cos, sin = (f(math.radians(now["angle"])) for f in (math.cos, math.sin))
        for joint in range(x.shape[2]):
            for person in range(x.shape[3]):
                a, b = x[0, t, joint, person], x[1, t, joint, person]
                moved[0, t, joint, person] = now["scale"] * (cos * a - sin * b) + now["shift_x"]
                moved[1, t, joint, person] = now["scale"] * (sin * a + cos * b) + now["shift_y"]
    return moved


def test_it_turns_scales_and_shifts_frame_by_frame() -> None:
    x, time = moving(), torch.arange(FRAMES).expand(3, -1)
    moved = random_move(draws(), "m", x, time, frames=FRAMES, mask_empty=False)
    for sample in range(3):
        torch.testing.assert_close(moved[sample], slow_move(x[sample], sample))
    assert float((moved - x).abs().max()) > 0.05


def test_absent_persons_stay_at_the_origin() -> None:
    x, time = moving(), torch.arange(FRAMES).expand(3, -1)
    moved = random_move(draws(), "m", x, time, frames=FRAMES, mask_empty=True)
    there = x.ne(0).any(1, keepdim=True)
    assert torch.equal(moved.ne(0).any(1, keepdim=True), there)
    plain = random_move(draws(), "m", x, time, frames=FRAMES, mask_empty=False)
    torch.testing.assert_close(moved, plain * there)


def test_a_part_moves_as_in_the_whole() -> None:
    x, time = moving(), torch.arange(FRAMES).expand(3, -1)
    whole = random_move(draws(), "m", x, time, frames=FRAMES, mask_empty=True)
    some = torch.tensor([[7, 2], [0, 11], [5, 5]])
    index = some[:, None, :, None, None]
    part = random_move(
        draws(), "m", torch.take_along_dim(x, index, 2), some, frames=FRAMES, mask_empty=True
    )
    torch.testing.assert_close(part, torch.take_along_dim(whole, index, 2))

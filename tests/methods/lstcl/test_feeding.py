"""What the networks read, against the rules written out frame by frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from skelray.methods.lstcl.config import LSTCLConfig
from skelray.methods.lstcl.feeding import Recordings
from skelray.platform.method import Draws, Ragged, key_of
from skelray.platform.preprocessing.gaps import close_gaps, end_frame, first_frame, seen

JOINTS, PERSONS = 4, 2
CONFIG = LSTCLConfig()
TARGETS = pytest.mark.parametrize("target", ["padded", "true_end"])


def stored(frames: int, *, late: int = 0, gap: bool = False, alone: bool = False) -> np.ndarray:
    """A recording (T, M, V, 3); the first person may come late, the second may be gone a while."""
    x = np.random.default_rng(frames).normal(size=(frames, PERSONS, JOINTS, 3))
    x[:late, 0] = 0.0
    if gap:
        x[frames // 3 : frames // 2, 1] = 0.0
    if alone:
        x[:, 1] = 0.0
    return x.astype(np.float32)


RECORDINGS = [
    stored(12),
    stored(29),
    stored(30, alone=True),
    stored(45, gap=True),
    stored(60, late=7),
    stored(61),
    stored(75, gap=True, late=3),
    stored(100, alone=True),
    stored(290),
    stored(300, gap=True),
]


def batch(recordings: list[np.ndarray]) -> Ragged:
    """The same, closed as preprocessing leaves them."""
    closed, scalars, lengths = [], [], []
    for x in recordings:
        frames, own = close_gaps(x, repeat=False)
        anybody = np.any(seen(x), axis=1)
        closed.append(frames)
        scalars.append(own)
        lengths.append(end_frame(anybody) - first_frame(anybody))
    frames = torch.from_numpy(np.concatenate(closed))
    return Ragged(
        frames=frames,
        offsets=torch.tensor([0, *np.cumsum([len(x) for x in closed])]),
        present=(frames != 0).any(-1).any(-1),
        length=torch.tensor(lengths),
        scalars={f"length_{m}": torch.tensor(scalars)[:, m] for m in range(PERSONS)},
    )


def moved_to_front(body: np.ndarray) -> list[np.ndarray]:
    """Frames of one person: without empty ones where the first is empty; none after the last."""
    frames = list(body)
    if not body[0].any():
        frames = [frame for frame in frames if frame.any()]
    while frames and not frames[-1].any():
        frames.pop()
    return frames


def repeated(frames: list[np.ndarray], count: int) -> np.ndarray:
    if not frames:
        return np.zeros((count, JOINTS, 3), np.float32)
    return np.stack([frames[t % len(frames)] for t in range(count)])


def slow(x: np.ndarray, target: str, start: float) -> dict[str, np.ndarray]:
    """Sequence, clip places, last pose and target of one recording."""
    people = [moved_to_front(x[:, person]) for person in range(PERSONS)]
    anybody = [t for t in range(len(x)) if x[t].any()]
    span = anybody[-1] + 1 - anybody[0] - 10
    number = sum(1 for frame in people[0] if frame.any())
    if target == "true_end" and number >= 30:
        span = number - 10
        history = [frames[:span] for frames in people]
        sequence = np.stack([repeated(frames, 290) for frames in history], axis=1)
        last = np.stack([repeated(frames, span)[-1] for frames in history])
        future = np.stack(people[0][span:number])
    else:
        padded = np.stack([repeated(frames, 300) for frames in people], axis=1)
        sequence, last, future = padded[:290], padded[289], padded[290:, 0]
    if span <= 50:
        places = list(range(50))
    else:
        shift = math.floor(start * math.ceil(span / 50))
        places = [math.floor(j * span / 50) + shift for j in range(50)]
    return {"sequence": sequence, "places": np.array(places), "last": last, "target": future}


@TARGETS
@pytest.mark.parametrize("start", [0.0, 0.5, 0.999])
def test_every_recording_is_read_as_defined(target: str, start: float) -> None:
    recordings = Recordings(batch(RECORDINGS), CONFIG, target == "true_end")
    starts = torch.full((len(RECORDINGS),), start) if start else None
    places = recordings.clip_places(starts)
    found = {
        "sequence": recordings.sequence().permute(0, 2, 4, 3, 1),
        "places": places,
        "last": recordings.last().permute(0, 3, 2, 1),
        "target": recordings.target().permute(0, 2, 3, 1),
    }
    assert recordings.clip(places).shape == (len(RECORDINGS), 3, 50, JOINTS, PERSONS)
    for number, x in enumerate(RECORDINGS):
        for name, expected in slow(x, target, start).items():
            assert np.array_equal(found[name][number].numpy(), expected), (number, name)
    whole = recordings.sequence()
    taken = torch.take_along_dim(whole, places[:, None, :, None, None], dim=2)
    assert torch.equal(recordings.clip(places), taken)


def drawn(count: int) -> Draws:
    return Draws(0, 0, torch.tensor([key_of(n) for n in range(count)]))


def test_what_is_read_by_itself_moves_as_one_sequence() -> None:
    """As coded: the last pose is the last frame, the target goes on after it."""
    config = CONFIG.model_copy(update={"target": "padded", "mask_empty": False})
    clips, longer = batch(RECORDINGS), config.model_copy(update={"frames": 300, "future": 0})
    moved = Recordings(clips, config, False, drawn(len(RECORDINGS)))
    whole = Recordings(clips, longer, False, drawn(len(RECORDINGS))).sequence()
    torch.testing.assert_close(moved.sequence(), whole[:, :, :290])
    torch.testing.assert_close(moved.last(), whole[:, :, 289])
    torch.testing.assert_close(moved.target(), whole[:, :, 290:, :, 0])
    places = moved.clip_places()
    index = places[:, None, :, None, None]
    torch.testing.assert_close(moved.clip(places), torch.take_along_dim(whole, index, dim=2))


def test_the_step_into_the_future_is_the_recordings() -> None:
    """At a recording's own end too, the target moves as the last pose goes on."""
    clips = batch(RECORDINGS[2:])
    still = Recordings(clips, CONFIG, True)
    moved = Recordings(clips, CONFIG, True, drawn(len(RECORDINGS) - 2))

    def step(recordings: Recordings) -> Tensor:
        return (recordings.target()[:, :, 0] - recordings.last()[..., 0])[:, :2].norm(dim=1)

    # but for the scale, and what the movement itself adds within a frame
    assert float((step(moved) / step(still)).log().abs().max()) < 0.15


def test_recordings_of_nobody_are_zeros() -> None:
    clips = batch([np.zeros((9, PERSONS, JOINTS, 3), np.float32), stored(40)])
    recordings = Recordings(clips, CONFIG, True)
    assert not recordings.sequence()[0].any() and not recordings.target()[0].any()
    assert recordings.clip_places()[0].tolist() == list(range(50))

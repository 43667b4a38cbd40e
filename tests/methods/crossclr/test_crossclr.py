"""What CrosSCLR's settings change, beside the parity with the published code."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from skelray.methods.crossclr.crossclr import CrosSCLR, CrosSCLRConfig
from skelray.platform.method import DataSpec, Progress
from skelray.platform.skeleton.specs import KINECT_V2

DATA = DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3)
SMALL = {"channels": 4, "feature_dim": 8, "projection_dim": 4, "queue": 6, "momentum": 0.5}


def build(**settings: Any) -> CrosSCLR:
    torch.manual_seed(0)
    return CrosSCLR(CrosSCLRConfig(**SMALL, **settings), DATA)


def at(epoch: int, epochs: int = 300) -> Progress:
    return Progress(
        phase="pretrain", epoch=epoch, epochs=epochs, step=0, step_in_epoch=0, steps_per_epoch=1
    )


def ways_left(method: CrosSCLR, progress: Progress) -> dict[str, float]:
    """Of key encoders, of the projectors' own layers and of the tail: the share of the way to the
    query's weights that is left after a step's update."""
    with torch.no_grad():
        for _, stream in method.each():
            for ours, theirs in (
                (stream.encoder, stream.key_encoder),
                (stream.projector, stream.key_projector),
            ):
                for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
                    a.zero_(), b.fill_(1.0)
    method.before_step(progress)
    found = {}
    for name, stream in method.each():
        found[name] = float(stream.key_encoder.blocks[3].graph.conv.bias[0])
        found[f"{name} own"] = float(stream.key_projector[0].bias[0])
    found["tail"] = float(method.streams[0].key_projector[2].bias[0])
    return found


def test_the_shared_tail_moves_once_for_every_stream_as_published() -> None:
    found = ways_left(build(), at(0))
    assert found["joint"] == found["motion"] == found["bone"] == 0.5
    assert found["motion own"] == found["bone own"] == 0.5
    assert found["tail"] == found["joint own"] == 0.5**3


def test_the_shared_tail_moves_once_on_request() -> None:
    assert set(ways_left(build(tail_update="once"), at(0)).values()) == {0.5}
    assert set(ways_left(build(shared_tail=False), at(0)).values()) == {0.5}


def test_in_the_cross_phase_motion_alone_moves_as_published() -> None:
    found = ways_left(build(), at(150))
    assert found == {
        **{"joint": 1.0, "bone": 1.0, "bone own": 1.0},
        **{"motion": 0.5, "motion own": 0.5, "joint own": 0.5, "tail": 0.5},
    }
    sound = build(cross_key_update="all", tail_update="once")
    assert set(ways_left(sound, at(150)).values()) == {0.5}


def test_the_preset_is_what_the_paper_describes() -> None:
    method = build(**CrosSCLR.PRESETS["as_described"])
    assert set(ways_left(method, at(200)).values()) == {0.5}
    tails = {id(stream.projector[2]) for _, stream in method.each()}
    assert len(tails) == 3


def test_the_streams_cross_from_an_epoch_or_a_share_on() -> None:
    published, half, never = build(), build(cross_epoch=0.5), build(cross_epoch=300)
    assert [published.crosses(at(epoch)) for epoch in (0, 149, 150)] == [False, False, True]
    assert [half.crosses(at(epoch, 30)) for epoch in (14, 15)] == [False, True]
    assert not never.crosses(at(299)) and build(cross_epoch=0).crosses(at(0))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"streams": ("joint",)}, "name two or three different ones"),
        ({"streams": ("joint", "joint")}, "name two or three different ones"),
        ({"streams": ("joint", "bone")}, "would freeze all key encoders: set all"),
    ],
)
def test_streams_that_make_no_sense_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        CrosSCLRConfig(**settings)
    CrosSCLRConfig(streams=("joint", "bone"), cross_key_update="all")

"""Checkpoints on disks that fail: what was written before stays, and what is damaged is named."""

from __future__ import annotations

import logging
import re
import resource
import signal
from pathlib import Path

import pytest
import torch

from skelray.platform.errors import CheckpointError
from skelray.platform.training import checkpoint
from skelray.platform.training.checkpoint import Checkpoint
from tests.toys import final_state, toy_loop


def save(folder: Path, step: int, size: int = 1000) -> Checkpoint:
    state = {"method": {"weight": torch.full((size,), float(step))}}
    return checkpoint.save(folder, state=state, about={"step": step, "finished": False}, keep=9)


def cut(saved: Checkpoint) -> None:
    file = saved.path / "state.pt"
    file.write_bytes(file.read_bytes()[:1000])


def flip(saved: Checkpoint) -> None:
    file = saved.path / "state.pt"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1  # within the tensor: torch itself would load it
    file.write_bytes(bytes(data))


def lose(saved: Checkpoint) -> None:
    (saved.path / "checkpoint.json").write_text("{")


DAMAGES = pytest.mark.parametrize("damage", [cut, flip, lose])


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    saved = save(tmp_path, 6)
    cut(saved)
    for look in (saved.load, saved.check):
        with pytest.raises(CheckpointError, match=r"step-00000006/state.pt is damaged \(.+\)"):
            look()


@DAMAGES
def test_damaged_checkpoints_are_set_aside_up_to_the_first_whole_one(
    tmp_path: Path, damage, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2, 3):
        saved = save(tmp_path, step)
        if step > 1:
            damage(saved)
    with caplog.at_level(logging.WARNING):
        checkpoint.set_damaged_aside(tmp_path)
    assert len(caplog.records) == 2
    assert "step-00000003" in caplog.messages[0] and "damaged-step-00000003" in caplog.messages[0]
    last = checkpoint.latest(tmp_path)
    assert last is not None and last.step == 1
    assert {p.name for p in tmp_path.iterdir()} == {
        "step-00000001",
        "damaged-step-00000002",
        "damaged-step-00000003",
    }


@DAMAGES
def test_a_run_goes_on_from_the_checkpoint_before_with_the_same_weights(
    tmp_path: Path, damage
) -> None:
    whole = final_state(toy_loop("queue", tmp_path / "whole"))
    last = toy_loop("queue", tmp_path / "damaged").run()
    damage(last)
    checkpoint.set_damaged_aside(last.path.parent)
    again = final_state(toy_loop("queue", tmp_path / "damaged"))
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def test_what_is_not_damage_is_left_alone(tmp_path: Path) -> None:
    saved = save(tmp_path, 1)
    about = saved.path / "checkpoint.json"
    about.write_text(about.read_text().replace(f'"version": {checkpoint.VERSION}', '"version": 99'))
    with pytest.raises(CheckpointError, match="has checkpoint version 99, this skelray reads"):
        checkpoint.set_damaged_aside(tmp_path)
    assert saved.path.exists()


def test_a_step_may_be_damaged_again(tmp_path: Path) -> None:
    save(tmp_path, 1)
    for _ in range(2):
        cut(save(tmp_path, 2))
        checkpoint.set_damaged_aside(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"step-00000001", "damaged-step-00000002"}


def test_nothing_starts_from_nothing_where_all_are_damaged(tmp_path: Path) -> None:
    for step in (1, 2):
        cut(save(tmp_path, step))
    for _ in range(2):  # the same command again
        with pytest.raises(CheckpointError, match=r"no checkpoint in .* is whole: --fresh starts"):
            checkpoint.set_damaged_aside(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    checkpoint.set_damaged_aside(tmp_path / "none")  # a run that has not begun


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    """The system refuses to write more than 64 KiB into a file, as it does on a full disk."""
    saved = save(tmp_path, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    try:
        message = r"step-00000002 cannot be written \(.*File too large\); .* is step-00000001: make"
        with pytest.raises(CheckpointError, match=message):
            save(tmp_path, 2, size=10**5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, heard)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    saved.check()


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.write_text("a file where the folder should be")
    target = re.escape(str(folder / "step-00000001"))
    with pytest.raises(
        CheckpointError, match=f"checkpoint {target} cannot be written .*last .*none"
    ):
        save(folder, 1)


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    scratch = tmp_path / "checkpoints" / ".step-00000002.4711"
    scratch.mkdir(parents=True)
    (scratch / "state.pt").write_bytes(b"half")
    toy_loop("queue", tmp_path).run()
    assert not scratch.exists()

"""Published weights: files are read without running code, and loaded to the last key."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from skelray.platform.errors import CheckpointError, UsageError
from skelray.platform.method import PublishedState
from skelray.platform.published import load_published, load_strictly, read_state
from skelray.platform.registry import load_method
from tests.toys import DATA


class Dangerous:
    """Runs code when it is unpickled the ordinary way."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_prefixes_of_data_parallel_are_removed(tmp_path: Path) -> None:
    torch.save({"module.a.weight": torch.ones(2), "b": torch.zeros(1)}, tmp_path / "a.pt")
    state = read_state(tmp_path / "a.pt")
    assert list(state) == ["a.weight", "b"] and state["a.weight"].eq(1).all()


def test_a_file_with_code_is_refused_in_one_line(tmp_path: Path) -> None:
    mark = tmp_path / "code has run"
    torch.save({"a": torch.ones(2), "b": Dangerous(mark)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a\.pt is not read, it holds a \S+: save its") as e:
        read_state(tmp_path / "a.pt")
    assert "\n" not in str(e.value) and "weights_only" not in str(e.value)
    assert not mark.exists()


@pytest.mark.parametrize("entry", ["model", "state_dict"])
def test_the_weights_of_a_training_checkpoint_are_read_alone(entry: str, tmp_path: Path) -> None:
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))])
    arguments = Namespace(lr=1e-3, betas=(0.9, 0.95), resume=None, model_args={"depth": 8})
    held = {"optimizer": optimiser.state_dict(), "epoch": 399, "scaler": {}, "args": arguments}
    torch.save({entry: {"module.a": torch.ones(2)}, **held}, tmp_path / "a.pth")
    state = read_state(tmp_path / "a.pth")
    assert list(state) == ["a"] and state["a"].eq(1).all()


def test_code_beside_the_weights_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "code has run"
    arguments = Namespace(hook=Dangerous(mark))
    torch.save({"model": {"a": torch.ones(2)}, "args": arguments}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a\.pth is not read, it holds a \S+: save its"):
        read_state(tmp_path / "a.pth")
    assert not mark.exists()
    assert Namespace not in torch.serialization.get_safe_globals()


@pytest.mark.parametrize(
    "held",
    [
        [torch.ones(2)],
        torch.ones(2),
        {"weights": {"a": torch.ones(2)}},
        {"model": {"a": {"b": torch.ones(2)}}},
        {"a": torch.ones(2), "epoch": 3},
        {0: torch.ones(2)},
    ],
    ids=["list", "tensor", "nested", "nested twice", "number", "key"],
)
def test_only_flat_dictionaries_of_tensors_are_read(held: object, tmp_path: Path) -> None:
    torch.save(held, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a\.pt does not hold a flat dictionary of tensors"):
        read_state(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [b"", b"no torch file", b"PK\x03\x04 cut"])
def test_files_of_another_kind_are_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.pt is no") as error:
        read_state(tmp_path / "a.pt")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a\.pt does not exist"):
        read_state(tmp_path / "a.pt")


def test_loading_names_the_first_key_that_does_not_fit() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    state = {key: torch.full_like(value, 2) for key, value in module.state_dict().items()}

    def load(state: dict[str, torch.Tensor], **absent: str) -> None:
        load_strictly(module, state, absent, source="a.pt")

    with pytest.raises(CheckpointError, match=r"a\.pt: key 'x' is unknown to the method"):
        load({**state, "x": torch.ones(1)})
    with pytest.raises(CheckpointError, match=r"a\.pt: key '1\.bias' is missing \(2 in all\)"):
        load({key: value for key, value in state.items() if key.startswith("0")})
    with pytest.raises(CheckpointError, match=r"'0\.bias' has shape \(4,\), expected \(3,\)"):
        load({**state, "0.bias": torch.ones(4)})
    initial = module[1].weight.clone()
    load({k: v for k, v in state.items() if k.startswith("0")}, **{"1": "the original has none"})
    assert module[0].weight.eq(2).all() and torch.equal(module[1].weight, initial)


def test_an_unknown_setting_is_answered_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pt")
    translated = PublishedState(config={"channels": 8}, data=DATA, state={})
    monkeypatch.setattr(load_method("skeletonclr"), "published", lambda *_: translated)
    with pytest.raises(UsageError, match=r"published weights: unknown key 'quue': d"):
        load_published("skeletonclr", [tmp_path / "a.pt"], quue=3)

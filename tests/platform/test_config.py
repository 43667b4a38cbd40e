"""Configurations: how layers override each other, how mistakes are answered, what a run's id is."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from skelray.platform.config import (
    RunConfig,
    build,
    keys_of,
    merge,
    parse_overrides,
    read_yaml,
    resolve,
)
from skelray.platform.errors import UsageError
from skelray.platform.registry import experiment_files, load_method

METHOD = load_method("skeletonclr")
SMALL = METHOD.PRESETS["small"]


def nwucla(*overrides: str) -> RunConfig:
    return resolve("skeletonclr", "nwucla", overrides)


def test_defaults_preset_experiment_and_overrides_lie_upon_each_other() -> None:
    defaults = METHOD.Config()
    config = resolve("skeletonclr", "synthetic", ["method.queue=7"])
    tree = yaml.safe_load(experiment_files()["skeletonclr", "synthetic"].read_text())
    assert config.preset == tree["preset"] == "small"
    assert config.method.feature_dim == defaults.feature_dim
    assert config.method.frames == SMALL["frames"] != defaults.frames
    assert config.method.epochs == tree["method"]["epochs"] != SMALL["epochs"]
    assert config.method.queue == 7 != SMALL["queue"]
    assert config.evaluation.linear == ("published", "fast")
    assert config.evaluation.knn == (1, 20)


@pytest.mark.parametrize("override", ["preset=published", "preset="])
def test_the_published_preset_is_the_defaults(override: str) -> None:
    config = nwucla(override)
    assert config.preset == ""
    assert config.method == METHOD.Config()


def test_every_experiment_resolves_to_itself() -> None:
    for method, experiment in experiment_files():
        config = resolve(method, experiment)
        tree = config.model_dump(mode="json")
        assert build(load_method(method).Config, tree) == config


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "1.0e-4", "0.0001"])
def test_numbers_with_exponents_are_numbers(text: str, tmp_path: Path) -> None:
    assert parse_overrides([f"a={text}"]) == {"a": 1e-4}
    (tmp_path / "a.yaml").write_text(f"a: {text}\nb: {{c: -1e3}}\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": 1e-4, "b": {"c": -1000.0}}


def test_overrides_are_read_as_yaml() -> None:
    given = ["a.b=[1, x]", "a.c=true", "a.d=e5", "f=", "a.b=2", "g=h=i", "j=1e"]
    expected = {"a": {"b": 2, "c": True, "d": "e5"}, "f": None, "g": "h=i", "j": "1e"}
    assert parse_overrides(given) == expected


@pytest.mark.parametrize("item", ["lr", "=3", "method.lr 0.1"])
def test_what_is_no_override_is_named(item: str) -> None:
    with pytest.raises(UsageError, match=f"^'{item}' is not of the form key=value$"):
        parse_overrides(["a=1", item])


@pytest.mark.parametrize("item", ["a=[1", "a={b", "a=2024-99-99", "a=!!python/name:os.system"])
def test_a_value_that_cannot_be_read_is_named(item: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_overrides([item])
    assert str(error.value) == f"the value of {item!r} cannot be read"


def test_merge_keeps_what_is_not_named_and_changes_no_source() -> None:
    inner = {"x": 1, "y": 2}
    base = {"a": inner, "b": 3}
    merge(base, {"a": {"y": 5, "z": 6}, "b": {"c": 7}})
    assert base == {"a": {"x": 1, "y": 5, "z": 6}, "b": {"c": 7}}
    assert inner == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("preset=smal", "method skeletonclr has no preset 'smal': did you mean 'small'?"),
        ("trainin.workers=2", "unknown key 'trainin': did you mean 'training'?"),
        ("training.worker=2", "unknown key 'training.worker': did you mean 'training.workers'?"),
        ("method.temprature=2", "unknown key 'method.temprature': did you mean 'method.temperat"),
        ("lr=0.1", "unknown key 'lr': choose one of method.lr"),
        ("epochs=3", "unknown key 'epochs': did you mean 'method.epochs'?"),
        ("method.lr=fast", "method.lr='fast': Input should be a valid number"),
        ("method.lr=-1", "method.lr=-1: Input should be greater than 0"),
        ("method.stream=bones", "method.stream='bones': Input should be 'joint', 'motion' or"),
        ("training.workers=0", "training.workers=0: Input should be greater than or equal to 1"),
        ("evaluation.knn=[1, x]", "evaluation.knn.1='x': Input should be a valid integer"),
        ("seed.x=1", "seed={'x': 1}: Input should be a valid integer"),
        ("method=3", "method=3: Input should be a valid dictionary"),
        ("data=", "data=None: Input should be a valid dictionary"),
        ("name=other", "key 'name' cannot be set"),
    ],
)
def test_a_mistake_is_answered_with_its_key(override: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        nwucla(override)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_unknown_methods_and_experiments_are_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no method named 'skeletonclt': did you mean 'skeletoncl"):
        resolve("skeletonclt", "nwucla")
    with pytest.raises(UsageError, match="skeletonclr has no experiment 'nwucl': did you mean 'nw"):
        resolve("skeletonclr", "nwucl")


def test_a_missing_key_says_how_to_give_it() -> None:
    tree = {"name": "skeletonclr", "experiment": "e", "data": {"dataset": "nwucla"}}
    with pytest.raises(UsageError, match=r"key 'data\.protocol' is missing: .* data\.protocol=VAL"):
        build(METHOD.Config, tree)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a: [1", "a.yaml cannot be read: .* line "), (b"- 1", "must hold a mapping"), (b"\xff", "")],
)
def test_a_damaged_yaml_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(UsageError, match=rf"a\.yaml.*{message.removeprefix('a.yaml')}") as error:
        read_yaml(tmp_path / "a.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "override",
    ["method.lr=0.123", "seed=1", "data.protocol=other", "data.size=x", "training.accumulate=2"],
)
def test_what_decides_the_weights_decides_the_run(override: str) -> None:
    assert nwucla(override).identity("v1") != nwucla().identity("v1")


@pytest.mark.parametrize(
    "override",
    ["training.workers=2", "training.threads=1", "data.residency=stream", "evaluation.knn=[5]"],
)
def test_how_it_is_spread_and_measured_does_not(override: str) -> None:
    assert nwucla(override).identity("v1") == nwucla().identity("v1")


def test_other_data_are_another_run_and_a_value_spelled_out_is_not() -> None:
    assert nwucla().identity("v1") != nwucla().identity("v2")
    assert nwucla(f"method.frames={SMALL['frames']}").identity("v1") == nwucla().identity("v1")


def test_flat_and_keys_are_dotted() -> None:
    flat = nwucla().flat()
    assert flat["data.dataset"] == "nwucla" and flat["method.stream"] == "joint"
    assert flat["evaluation.knn"] == [1, 20]
    assert {"seed", "data", "data.residency", "training.max_failures"} <= set(keys_of(RunConfig))


def test_seeds_share_the_configuration() -> None:
    first, second = (nwucla(f"seed={seed}") for seed in (0, 1))
    assert first.identity("v1", seeded=False) == second.identity("v1", seeded=False)
    other = nwucla("method.lr=0.3").identity("v1", seeded=False)
    assert first.identity("v1", seeded=False) != other

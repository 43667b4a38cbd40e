"""Every shipped experiment: its YAML says how to run it and what to expect, and it trains."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from skelray.platform import registry
from skelray.platform.config import resolve
from skelray.platform.estimate import made_up_batch
from skelray.platform.method import Batch, Inputs, Phase, matches
from skelray.platform.training.loop import Loader, Loop
from skelray.platform.training.metrics import MetricsFile
from tests.methods import test_contract as contract

STEPS, BATCH = 3, 8
FEWER = {"skeleton_contrast": 2}  # where a recording costs tens of gigaflops a step
TERAFLOPS = {"svdata2vec", "lstcl"}  # a step, as published

EXPERIMENTS = pytest.mark.parametrize(("name", "experiment"), registry.experiment_files())


def header(path: Path) -> list[str]:
    """The comment lines above the first key, without their marks."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("#").strip() for line in lines[:end]]


@EXPERIMENTS
def test_the_header_says_how_to_run_it_and_what_to_expect(name: str, experiment: str) -> None:
    lines = header(registry.experiment_files()[name, experiment])
    assert f"python experiments/run.py {name} {experiment}" in lines
    expected = " ".join(lines).partition("Expected")[2]
    assert re.search(r"\d+\.\d %|docs/\w+\.md", expected), "a figure, or the page that holds it"


@EXPERIMENTS
def test_every_experiment_builds_a_method_that_is_whole(name: str, experiment: str) -> None:
    method = contract.build(resolve(name, experiment))
    modules = dict(method.named_modules())
    assert method.outputs and all(width > 0 for width in method.outputs.values())
    assert method.encoders and set(method.encoders) <= modules.keys()
    assert method.phases()
    for phase in method.phases():
        assert method.inputs(phase.name) != Inputs()
        parameters = [parameter for parameter, _ in method.named_parameters()]
        for prefix in phase.trainable:
            assert any(matches(parameter, (prefix,)) for parameter in parameters), prefix
        assert all(any(matches(m, (prefix,)) for m in modules) for prefix in phase.eval_mode)
    for output in method.outputs:
        assert method.inputs(output) != Inputs()
    for recipe in method.recipes().values():
        assert recipe.source and set(recipe.outputs) <= method.outputs.keys()


@EXPERIMENTS
def test_it_trains_as_shipped_but_for_the_batch(tmp_path: Path, name: str, experiment: str) -> None:
    count = FEWER.get(name, BATCH)
    config = resolve(name, experiment, [f"method.batch={count}"])
    # fp16 is slow on CPUs too: a smaller network and smaller inputs
    slow = name in TERAFLOPS or getattr(config.method, "precision", "") == "fp16"
    if slow and not config.preset:
        smaller = contract.SMALLER.get(name, ())
        config = resolve(name, experiment, [f"method.batch={count}", *smaller])
    dataset = registry.load_dataset(config.data.dataset)
    dataset.protocol(config.data.protocol)  # a UsageError where the data set has none of that name
    method = contract.build(config)
    phases = [phase.model_copy(update={"epochs": 1}) for phase in method.phases()]
    method.phases = lambda: phases  # type: ignore[method-assign]

    def loader(phase: Phase) -> tuple[Loader, int]:
        batch = made_up_batch(method, dataset, phase.name, count)

        def epoch(number: int, first: int) -> Iterator[list[Batch]]:
            yield from [[batch]] * (STEPS - first)

        return epoch, STEPS

    loop = Loop(method=method, folder=tmp_path, seed=0, loader=loader, about={"name": name})
    assert loop.run().step == STEPS * len(phases)
    records = MetricsFile(tmp_path / "metrics.jsonl").read()
    assert [record["phase"] for record in records] == [phase.name for phase in phases]
    for record in records:
        assert np.isfinite(record["metrics"]["train/loss"])
        assert np.isfinite(record["metrics"]["train/grad_norm"])

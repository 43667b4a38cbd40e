"""What is wrong with an evaluation is said before anything is trained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skelray.platform.config import RunConfig
from skelray.platform.data.source import Source
from skelray.platform.errors import DataError, SkelrayError, UsageError
from skelray.platform.evaluation.check import check_evaluation
from skelray.platform.training.build import build_method


def check(config: RunConfig, source: Source, **evaluation: object) -> None:
    changed = config.evaluation.model_copy(update=evaluation)
    method = build_method(config, source.spec)
    check_evaluation(config.model_copy(update={"evaluation": changed}), source, method)


def test_what_can_be_measured_passes(config: RunConfig, source: Source) -> None:
    check(config, source)


@pytest.mark.parametrize(
    ("evaluation", "kind", "message"),
    [
        ({"outputs": ("joints",)}, UsageError, "no output 'joints': did you mean 'joint'"),
        ({"linear": ("publish",)}, UsageError, "did you mean 'published'"),
    ],
)
def test_unknown_names(
    config: RunConfig,
    source: Source,
    evaluation: dict[str, object],
    kind: type[SkelrayError],
    message: str,
) -> None:
    with pytest.raises(kind, match=message):
        check(config, source, **evaluation)


@pytest.mark.parametrize("holdout", [frozenset(), frozenset({1, 2, 3})], ids=["none", "all"])
def test_a_holdout_that_cannot_choose(
    config: RunConfig, source: Source, holdout: frozenset[int]
) -> None:
    poor = replace(source, protocol=replace(source.protocol, holdout=holdout))
    with pytest.raises(DataError, match=r"the holdout part has .* set evaluation.linear=\[logist"):
        check(config, poor)
    check(config, poor, linear=("published", "logistic"))


def test_nothing_to_measure_is_no_fault(config: RunConfig, source: Source) -> None:
    nobody = replace(source.protocol, train=frozenset({1, 2, 3, 4, 5}), holdout=frozenset())
    check(config, replace(source, protocol=nobody))

"""Classifiers tested while they are trained: the figures of all test recordings, on any number of
ranks; what a fine-tuning begins with, and what it is known by."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from skelray.platform import distributed
from skelray.platform.classifiers import train_classifiers
from skelray.platform.config import ClassifierConfig, RunConfig, resolve
from skelray.platform.data.source import Source
from skelray.platform.errors import UsageError
from skelray.platform.evaluation.check import check_evaluation
from skelray.platform.evaluation.classifier_configs import classifier_configs
from skelray.platform.evaluation.labelled import accuracies
from skelray.platform.evaluation.results import PRETRAINED, RANDOM, SCRATCH, Evaluation
from skelray.platform.evaluation.testing import Testing
from skelray.platform.training.build import build_method, config_of, load_method
from skelray.platform.training.checkpoint import Checkpoint
from skelray.platform.training.job import phase_loader, training_loop

CPU = torch.device("cpu")
OUTPUTS = ("joint", "motion")


def asking(config: RunConfig, **asked: object) -> RunConfig:
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update=asked)})


@pytest.fixture
def opened(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """What opens the data finds them; there is no store on disk."""
    monkeypatch.setattr(Source, "open", lambda data: source)


@pytest.fixture
def tuned(config: RunConfig, trained: Path) -> ClassifierConfig:
    """Fine-tuning of the joint output, from the checkpoint."""
    asked = asking(config, finetune=("joint",))
    (found,) = classifier_configs(asked, OUTPUTS, {PRETRAINED: trained})
    return found


def test_figures_are_those_of_all_labelled_test_recordings(
    tuned: ClassifierConfig, source: Source
) -> None:
    method = build_method(tuned, source.spec)
    found = Testing(tuned, source, CPU)(method, 2, 10)
    inputs = method.inputs("joint")
    index = next(iter(source.caches(inputs).values())).index
    rows = [row for row in source.rows(index, "test") if index["label"][row] >= 0]
    batch = source.data(inputs, CPU).batch(index["label"][rows] * 0 + rows, labels=True)
    method.eval()
    logits = method.features(method.eval_views(batch, "joint"), ["joint"])["joint"]
    assert batch.label is not None
    expected = accuracies(logits, batch.label)
    assert found == {f"test/{name}": pytest.approx(value) for name, value in expected.items()}


def test_it_is_tested_now_and_then_and_at_the_end_and_left_as_it_was(
    tuned: ClassifierConfig, source: Source
) -> None:
    method, testing = build_method(tuned, source.spec), Testing(tuned, source, CPU)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    asked = [bool(testing(method, epoch, 5)) for epoch in range(1, 6)]
    assert asked == [False, True, False, True, True]  # test_every is 2
    assert all(module.training for module in method.modules())
    assert all(torch.equal(before[name], value) for name, value in method.state_dict().items())


def test_ranks_share_the_recordings(
    tuned: ClassifierConfig, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, testing = build_method(tuned, source.spec), Testing(tuned, source, CPU)
    expected = testing(method, 2, 10)
    parts: list[Tensor] = []
    monkeypatch.setattr(distributed, "world_size", lambda: 5)
    for rank in range(5):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(
            distributed, "all_gather_rows", lambda rows: parts.append(rows) or torch.cat(parts)
        )
        if rank < 4:
            with pytest.raises((RuntimeError, ValueError, IndexError)):
                testing(method, 2, 10)  # the others have not answered yet
        else:
            assert testing(method, 2, 10) == expected
    assert len({len(part) for part in parts}) == 1


def test_it_begins_with_the_checkpoint_and_learns(
    tuned: ClassifierConfig, source: Source, trained: Path, tmp_path: Path, opened: None
) -> None:
    pretrained = load_method(trained)
    with torch.no_grad():
        pretrained.encoder[0].weight.add_(1)  # so that it is not the initial one
    begun = build_method(tuned, source.spec, pretrained=True)
    initial = build_method(tuned, source.spec)
    stored = load_method(trained).state_dict()
    own = begun.state_dict()
    assert torch.equal(own["network.encoder.0.weight"], stored["encoder.0.weight"])
    assert torch.equal(
        own["network.head.weight"], initial.state_dict()["network.head.weight"]
    )  # the head is new in either case
    loop = training_loop(
        tuned, tmp_path / "tuned", origin={}, device=CPU, test=Testing(tuned, source, CPU)
    )
    last = loop.run()
    assert last.finished
    assert config_of(last) == tuned
    found = Testing(tuned, source, CPU)(load_method(last.path), 10, 10)
    assert found["test/top1"] > 50  # of six classes


def test_it_is_known_by_what_decides_its_weights(
    config: RunConfig, tuned: ClassifierConfig, source: Source
) -> None:
    def identity(**changes: object) -> str:
        tuning = tuned.classifier.model_copy(update=changes)
        return tuned.model_copy(update={"classifier": tuning}).identity(source.version)

    same = identity()
    assert identity(checkpoint="/moved/elsewhere") == same
    recipe = tuned.classifier.recipe.model_copy(update={"epochs": 3})
    assert len({same, identity(output="motion"), identity(checkpoint_hash="x")}) == 3
    assert identity(recipe=recipe) != same
    assert config.identity(source.version) != same


def asked_for(config: RunConfig, **asked: object) -> list[tuple[str, str, str, float]]:
    """Measure, start, output and share of what is trained."""
    found = [one.classifier for one in classifier_configs(asking(config, **asked), OUTPUTS)]
    return [(one.measure, one.start, one.output, one.share) for one in found]


def test_what_is_trained_is_what_was_asked_for(config: RunConfig) -> None:
    assert asked_for(config) == []  # the linear probe reads cached features
    assert asked_for(config, finetune=("motion",)) == [("finetune", PRETRAINED, "motion", 1.0)]
    augmenting = {"linear": {"augment": True}}
    assert asked_for(config, recipes=augmenting, linear=("fast",)) == []
    assert asked_for(config, recipes=augmenting) == [
        ("linear", PRETRAINED, "joint", 1.0),
        ("linear", PRETRAINED, "motion", 1.0),
        ("linear", RANDOM, "joint", 1.0),
        ("linear", RANDOM, "motion", 1.0),
    ]
    (alone,) = asked_for(config, recipes=augmenting, outputs=("motion",), baselines=False)
    assert alone == ("linear", PRETRAINED, "motion", 1.0)
    assert asked_for(config, semi={"joint": (0.01, 0.125)}) == [
        ("semi1", PRETRAINED, "joint", 0.01),
        ("semi1", SCRATCH, "joint", 0.01),
        ("semi12.5", PRETRAINED, "joint", 0.125),
        ("semi12.5", SCRATCH, "joint", 0.125),
    ]


def test_few_labels_are_those_of_a_share_of_each_class(
    config: RunConfig, source: Source, opened: None
) -> None:
    def trained_on(share: float) -> set[int]:
        (one,) = classifier_configs(asking(config, semi={"joint": (share,)}, baselines=False), ())
        method = build_method(one, source.spec)
        (phase,) = method.phases()
        loader, steps = phase_loader(one, source, method, phase, CPU)
        rows = [row for batch in loader(0) for row in batch[0].index.tolist()]
        assert len(rows) == len(set(rows)) and steps == -(-len(rows) // phase.batch)
        return set(rows)

    index = next(iter(source.caches(build_method(config, source.spec).inputs("joint")).values()))
    label, train = index.index["label"], source.rows(index.index, "train")
    counts = {number: int((label[train] == number).sum()) for number in range(6)}
    few, more = trained_on(0.05), trained_on(0.4)
    assert few < more < set(train.tolist())
    for number, count in counts.items():
        assert sum(label[row] == number for row in few) == max(1, round(0.05 * count))
        assert sum(label[row] == number for row in more) == round(0.4 * count)


def test_what_cannot_be_trained_is_refused_before_pretraining(
    config: RunConfig, source: Source
) -> None:
    method = build_method(config, source.spec)
    with pytest.raises(UsageError, match="no output 'rgb'"):
        check_evaluation(asking(config, finetune=("rgb",)), source, method)
    with pytest.raises(UsageError, match="Means has no recipe 'scratch'"):
        check_evaluation(asking(config, scratch=("joint",)), source, method)
    with pytest.raises(UsageError, match="no output 'rgb'"):
        check_evaluation(asking(config, semi={"rgb": (0.1,)}), source, method)
    large = asking(config, finetune=("joint",), recipes={"finetune": {"batch": 1000}})
    with pytest.raises(UsageError, match=r"batches of 1000, .* evaluation.recipes.finetune.batch="):
        check_evaluation(large, source, method)
    both = {"linear": {"augment": True, "combine": "mean_logits"}}
    with pytest.raises(UsageError, match="augments and combines outputs"):
        check_evaluation(asking(config, recipes=both), source, method)
    check_evaluation(asking(config, recipes=both, outputs=("motion",)), source, method)
    few = asking(config, semi={"joint": (0.05,)}, recipes={"semi": {"last": "drop"}})
    with pytest.raises(UsageError, match=r"semi5 has .* evaluation.recipes.semi.batch=6 or"):
        check_evaluation(few, source, method)


def test_nothing_is_trained_where_nothing_has_a_label(
    config: RunConfig, source: Source, trained: Path
) -> None:
    path, asked = trained.parent.parent / "evaluation.json", asking(config, finetune=("joint",))
    evaluation = Evaluation(path, {"train": 12, "test": 0, "first_output": "joint"})
    before = sorted(trained.parent.parent.rglob("*"))
    checkpoint = Checkpoint.open(trained)
    train_classifiers(asked, source, checkpoint, evaluation, path.parent, tags={}, parent=None)
    assert evaluation.figures == {}
    assert sorted(trained.parent.parent.rglob("*")) == before


def test_users_do_not_set_it_themselves() -> None:
    with pytest.raises(UsageError, match=r"evaluation\.finetune"):
        resolve("skeletonclr", "synthetic", ["classifier.output=joint"])

"""The training of a classifier as a method: loss, rates, what stays frozen, what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from skelray.platform.config import EvaluationConfig
from skelray.platform.errors import UsageError
from skelray.platform.evaluation.classifier_configs import recipe_of
from skelray.platform.method import (
    Batch,
    Classifier,
    Draws,
    EvalRecipe,
    Inputs,
    Method,
    Progress,
    Views,
)
from skelray.platform.optim import Optimiser, Schedule
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.training.classifier import PHASE, ClassifierTraining
from tests.toys import DATA, QueueToy, ToyConfig, final_state, on_ranks, toy_batch, toy_loop

RECIPE = EvalRecipe(
    trainable="all",
    optimiser=Optimiser(name="adamw", lr=0.01, weight_decay=0.05, decay_vectors=False),
    schedule=Schedule(name="cosine", per="step", warmup_epochs=1),
    epochs=3,
    batch=8,
    smoothing=0.1,
    layer_decay=0.5,
)
# AdamW makes steps of pure rounding where a gradient is zero, as before a BatchNorm
SGD = RECIPE.model_copy(update={"optimiser": Optimiser(lr=0.05)})
NOW = Progress(phase=PHASE, epoch=0, epochs=3, step=0, step_in_epoch=0, steps_per_epoch=2)


class TwoLayers(Classifier):
    """An encoder with a head."""

    layers = 2

    def __init__(self, encoder: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(width, classes)

    def forward(self, views: Views) -> Tensor:
        logits: Tensor = self.head(self.encoder(views["joint"]))
        return logits

    def layer(self, name: str) -> int:
        return 2 if name.startswith("head.") else int(name.startswith("encoder.4."))


class LabelledToy(QueueToy):
    """A toy with a classifier and a recipe of its own."""

    def classifier(self, classes: int, output: str, recipe: EvalRecipe) -> Classifier:
        return TwoLayers(self.make_encoder(), self.config.width, classes)

    def training_inputs(self, output: str) -> Inputs:
        return Inputs(skeletons={"augmented": Preprocessing(name="body_centred")})

    def eval_views(self, batch: Batch, output: str, draws: Draws | None = None) -> Views:
        views = super().eval_views(batch, output)
        return {name: view + (100 if draws else 0) for name, view in views.items()}

    @classmethod
    def recipes(cls) -> Mapping[str, EvalRecipe]:
        return {"finetune": RECIPE}


def training(recipe: EvalRecipe = RECIPE) -> ClassifierTraining:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ClassifierTraining(LabelledToy(ToyConfig(), DATA), "joint", recipe, DATA.classes)


def batch_of(label: list[int], ok: list[bool]) -> Batch:
    made = toy_batch(torch.arange(len(label)).numpy(), labels=True)
    return replace(made, label=torch.tensor(label), clip_ok=torch.tensor(ok))


def test_the_loss_is_the_smoothed_cross_entropy_of_what_is_labelled_and_readable() -> None:
    method = training().eval()
    batch = batch_of([1, -1, 3, 0], [True, True, True, False])
    views = method.views(batch, Draws(0, 0, batch.key), NOW)
    step = method(views, NOW)
    logits = method.features(method.eval_views(batch, "joint"), ["joint"])["joint"].double()
    expected, right = [], []
    for row, label in ((0, 1), (2, 3)):
        log_p = logits[row] - logits[row].exp().sum().log()
        target = torch.full((4,), 0.1 / 4, dtype=torch.float64)
        target[label] += 0.9
        expected.append(-(target * log_p).sum())
        right.append(float(logits[row].argmax() == label))
    torch.testing.assert_close(step.loss.double(), torch.stack(expected).mean())
    assert float(step.figures["top1"]) == pytest.approx(50 * sum(right))


def test_a_batch_of_which_nothing_can_be_learnt_has_no_loss() -> None:
    method = training()
    batch = batch_of([-1, 2], [True, False])
    step = method(method.views(batch, Draws(0, 0, batch.key), NOW), NOW)
    step.loss.backward()
    assert float(step.loss) == 0.0
    assert all(bool(p.grad.isfinite().all()) for p in method.parameters() if p.grad is not None)


def test_rates_fall_from_the_head_down() -> None:
    method = training()
    (phase,) = method.phases()
    optimiser = phase.optimiser.build(method.parameter_groups(phase))
    found: dict[int, tuple[float, float]] = {}
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            found[id(parameter)] = group["lr"], group["weight_decay"]
    expected = {"encoder.1.weight": 0.25, "encoder.4.weight": 0.5, "head.weight": 1.0}
    named = dict(method.network.named_parameters())
    for name, scale in expected.items():
        assert found[id(named[name])] == (pytest.approx(0.01 * scale), 0.05)
    assert found[id(named["head.bias"])] == (pytest.approx(0.01), 0.0)
    assert len(found) == len(named)


@pytest.mark.parametrize("augment", [False, True])
def test_only_training_reads_what_is_augmented(augment: bool) -> None:
    method = training(RECIPE.model_copy(update={"augment": augment}))
    assert ("augmented" in method.inputs(PHASE).skeletons) == augment
    assert "augmented" not in method.inputs("joint").skeletons
    batch = batch_of([0, 1], [True, True])
    plain = method.eval_views(batch, "joint")["joint"]
    drawn = method.views(batch, Draws(0, 0, batch.key), NOW)["joint"]
    torch.testing.assert_close(drawn, plain + 100 * augment)


def test_a_head_is_trained_on_an_encoder_that_stays_as_it_is(tmp_path: Path) -> None:
    method = training(RECIPE.model_copy(update={"trainable": "head"}))
    before = {name: value.clone() for name, value in method.state_dict().items()}
    after = final_state(replace(toy_loop("queue", tmp_path), method=method))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"network.head.weight", "network.head.bias"}


def test_the_head_begins_as_the_recipe_says() -> None:
    head = training().network.head
    assert 0.01 < float(head.weight.std()) < 0.03 and not head.bias.any()
    default = training(RECIPE.model_copy(update={"head_std": None})).network.head
    assert default.bias.any()


def classify(folder: Path) -> None:
    """Trains a classifier; for spawned ranks."""
    replace(toy_loop("queue", folder), method=training(SGD)).run()


def test_it_learns_and_two_ranks_equal_one(tmp_path: Path) -> None:
    """Of the samples some have no clip, not as many on each rank."""
    on_ranks(2, classify, tmp_path / "two")
    one = replace(toy_loop("queue", tmp_path / "one"), method=training(SGD))
    start = {name: value.clone() for name, value in one.method.state_dict().items()}
    expected = final_state(one)
    found = final_state(replace(toy_loop("queue", tmp_path / "two"), method=training(SGD)))
    for name, value in expected.items():
        if value.is_floating_point():
            moved, apart = (value - start[name]).norm(), (value - found[name]).norm()
            assert apart <= 1e-2 * moved + 1e-5 * value.numel() ** 0.5, name
    assert float((expected["network.head.weight"] - start["network.head.weight"]).norm()) > 0


def test_recipes_are_changed_field_by_field() -> None:
    asked = EvaluationConfig(recipes={"finetune": {"epochs": 7, "optimiser": {"lr": 0.5}}})
    changed = recipe_of(LabelledToy, "finetune", asked)
    assert (changed.epochs, changed.optimiser.lr) == (7, 0.5)
    assert changed.optimiser.weight_decay == RECIPE.optimiser.weight_decay
    assert recipe_of(LabelledToy, "finetune", EvaluationConfig()) == RECIPE
    wrong = EvaluationConfig(recipes={"finetune": {"epoch": 7}})
    with pytest.raises(
        UsageError, match=r"unknown key 'evaluation.recipes.finetune.epoch'.*epochs"
    ):
        recipe_of(LabelledToy, "finetune", wrong)
    with pytest.raises(UsageError, match="LabelledToy has no recipe 'scratch'"):
        recipe_of(LabelledToy, "scratch", EvaluationConfig())


def test_data_without_classes_have_no_classifier() -> None:
    toy: Method = LabelledToy(ToyConfig(), DATA)
    with pytest.raises(UsageError, match="labels"):
        ClassifierTraining(toy, "joint", RECIPE, None)


def test_classes_are_those_of_the_data_it_learns() -> None:
    """Others than the method was built for, where an encoder is tried on other data."""
    training = ClassifierTraining(LabelledToy(ToyConfig(), DATA), "joint", RECIPE, 9)
    assert training.network.head.out_features == training.outputs["joint"] == 9
    assert training.data == replace(DATA, classes=9)

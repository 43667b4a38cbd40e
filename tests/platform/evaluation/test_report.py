"""The table's text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from skelray.platform.evaluation import table
from skelray.platform.evaluation.results import Evaluation, summary

ABOUT: dict[str, Any] = {
    "method": "skeletonclr",
    "dataset": "nwucla",
    "protocol": "xview",
    "step": 1200,
    "seed": 0,
    "train": 1020,
    "test": 464,
    "classes": 10,
    "outputs": ["joint", "motion"],
    "first_output": "joint",
    "linear": ["published"],
    "knn": [1, 20],
    "recipe": {"optimiser": {"name": "sgd", "lr": 3.0}, "epochs": 100, "augment": False},
    "trained_on": {"dataset": "nwucla", "protocol": "xview"},
    "classifiers": [],
}

FIGURES = {
    "baseline/raw/linear_fast/top1": 66.24,
    "baseline/raw/linear_fast/top5": 97.1,
    "baseline/raw/knn1/top1": 60.0,
    "baseline/random/linear/top1": 56.7,
    "eval/linear/top1": 78.04,
    "eval/linear/top5": 100.0,
    "eval/linear_fast/top1": 79.06,
    "eval/knn1/top1": 73.1,
    "eval/knn20/top1": 70.0,
    "eval/motion/knn20/top1": 61.0,
}


def lines(**about: Any) -> list[str]:
    text = table(Evaluation(Path("x.json"), ABOUT | about, FIGURES))
    return [" ".join(line.split()) for line in text.splitlines()]


def test_rows_columns_and_footnotes_of_the_published_recipe() -> None:
    assert lines() == [
        "skeletonclr on nwucla, protocol xview, step 1200",
        "1020 training and 464 test recordings of 10 classes; accuracy on the test part in percent",
        "",
        "linear top-1 linear top-5 KNN k=1 KNN k=20",
        "------------------------------ ------------ ------------ ------- --------",
        "raw coordinates 66.2 97.1 60.0 -",
        "random encoder (BatchNorm set) 56.7 - - -",
        "pretrained encoder 78.0 100.0 73.1 70.0",
        "pretrained encoder, motion - - - 61.0",
        "",
        "linear: published recipe: SGD, rate 3, 100 epochs, last epoch",
        "raw coordinates: fast recipe, as the published rate is meant for encoders' features",
        "fast recipe: standardised features, one of 12 learning rates chosen on the training "
        "part's holdout subjects",
    ]


def test_the_fast_recipe_fills_all_rows_where_it_ran() -> None:
    shown = lines(linear=["published", "fast"])
    assert "pretrained encoder 79.1 - 73.1 70.0" in shown
    assert shown[-1] == (
        "published recipe: SGD, rate 3, 100 epochs, last epoch: random encoder (BatchNorm set) "
        "56.7 top-1, - top-5; pretrained encoder 78.0 top-1, 100.0 top-5"
    )


def test_without_a_linear_recipe_there_are_no_such_columns() -> None:
    shown = lines(linear=[], knn=[1])
    assert shown[3] == "KNN k=1"
    assert shown[-1] == "pretrained encoder 73.1"


def test_the_data_sets_metric_comes_first() -> None:
    figures = {
        "baseline/raw/linear_fast/top1": 66.2,  # of an earlier version, which knew top-1 only
        "eval/linear/top1": 78.0,
        "eval/linear/mean_class": 61.4,
        "eval/linear_logistic/top1": 80.0,
        "eval/linear_logistic/mean_class": 63.0,
        "eval/knn1/top1": 73.1,
        "eval/knn1/mean_class": 55.5,
    }
    about = ABOUT | {"metric": "mean_class", "knn": [1], "linear": ["published", "logistic"]}
    shown = [" ".join(x.split()) for x in table(Evaluation(Path("x"), about, figures)).splitlines()]
    assert shown[3] == "linear mean class linear top-1 KNN k=1 mean class"
    assert shown[5:7] == ["raw coordinates - 66.2 -", "pretrained encoder 61.4 78.0 55.5"]
    assert shown[-1] == (
        "logistic regression (scikit-learn): pretrained encoder 63.0 mean class, 80.0 top-1"
    )


def test_outputs_evaluated_together_are_named() -> None:
    rows = lines(first_output="joint-motion", outputs=["joint-motion", "joint", "motion"])
    assert "pretrained encoder, joint-motion 78.0 100.0 73.1 70.0" in rows
    assert "pretrained encoder, motion - - - 61.0" in rows


def test_several_seeds_give_means_and_deviations() -> None:
    values = (70.0, 76.0, 79.0)  # mean 75, deviation sqrt((25 + 1 + 16) / 2) = 4.58
    evaluations = [
        Evaluation(Path("x.json"), ABOUT | {"seed": seed}, {**FIGURES, "eval/linear/top1": value})
        for seed, value in enumerate(values)
    ]
    del evaluations[1].figures["eval/knn20/top1"]  # not known for all: not shown
    shown = [" ".join(line.split()) for line in table(*evaluations).splitlines()]
    assert shown[0] == "skeletonclr on nwucla, protocol xview, step 1200, seeds 0, 1, 2"
    assert shown[1].endswith(" in percent, mean ± standard deviation over the seeds")
    assert "pretrained encoder 75.0 ± 4.6 100.0 ± 0.0 73.1 ± 0.0 -" in shown


def test_classifiers_get_columns_and_what_is_compared_with_them_rows() -> None:
    tuned = {"optimiser": {"name": "adamw", "lr": 0.001}, "epochs": 20, "augment": True}
    common = {"output": "joint", "recipe": tuned}
    classifiers = [
        {"measure": "linear", "start": "eval", "share": 1.0, "recipe_name": "linear", **common},
        {"measure": "finetune", "start": "eval", "share": 1.0, "recipe_name": "finetune", **common},
        {"measure": "semi10", "start": "eval", "share": 0.1, "recipe_name": "semi", **common},
        {
            "measure": "semi10",
            "start": "baseline/scratch",
            "share": 0.1,
            "recipe_name": "semi",
            **common,
        },
    ]
    figures = {
        "eval/finetune/top1": 80.0,
        "eval/semi10/top1": 60.0,
        "baseline/scratch/semi10/top1": 40.0,
        "eval/knn1/top1": 70.0,
    }
    about = ABOUT | {"linear": [], "knn": [1], "classifiers": classifiers}
    shown = [" ".join(x.split()) for x in table(Evaluation(Path("x"), about, figures)).splitlines()]
    assert shown[3] == "KNN k=1 fine-tuned top-1 10 % of labels top-1"
    assert shown[5:7] == [
        "trained from scratch, joint - - 40.0",
        "pretrained encoder 70.0 80.0 60.0",
    ]
    assert shown[-2:] == [
        "fine-tuned: ADAMW, rate 0.001, 20 epochs, augmented, last epoch",
        "with few labels: ADAMW, rate 0.001, 20 epochs, augmented, last epoch",
    ]


def test_other_data_than_those_of_pretraining_are_named() -> None:
    (caption, *_) = lines(trained_on={"dataset": "ntu60", "protocol": "xsub"})
    assert caption.endswith("step 1200; pretrained on ntu60, xsub")


def test_the_summary_holds_every_value() -> None:
    evaluations = [Evaluation(Path("x.json"), ABOUT, {"eval/knn1/top1": v}) for v in (1.0, 3.0)]
    assert summary(evaluations) == {
        "eval/knn1/top1": {"mean": 2.0, "std": pytest.approx(2**0.5), "values": [1.0, 3.0]}
    }
    assert summary(evaluations[:1])["eval/knn1/top1"]["std"] is None

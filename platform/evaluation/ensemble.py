"""Late fusion: weighted sums of the scores of classifiers that were trained one by one.

Scores are joined by sample id, never by position. Source: the fusion of Levigty/AimCLR, ensemble/
(joint 0.6, bone 0.6, motion 0.4, of raw logits).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skelray.platform import registry
from skelray.platform.errors import DataError, UsageError
from skelray.platform.evaluation import labelled
from skelray.platform.evaluation.results import HEADLINES, PRETRAINED, metric_of
from skelray.platform.evaluation.scores import Scores
from skelray.platform.tables import aligned

# the figures' names -> the setting that asks for them
RECIPES = {
    "linear": "linear=[published]",
    "linear_fast": "linear=[fast]",
    "linear_logistic": "linear=[logistic]",
    "finetune": "finetune=[OUTPUT]",
}
_SAME = ("dataset", "protocol", "data_version", "classes")


@dataclass(frozen=True, kw_only=True)
class Member:
    """One output's classifier in a run's newest evaluation."""

    folder: Path  # of the run
    output: str
    about: dict[str, Any]  # of the evaluation
    scores: Scores

    @classmethod
    def open(cls, folder: Path, output: str, recipe: str) -> Member:
        """`output` is empty for the first row of the run's table. DataError for what is not there.

        `recipe` is one of RECIPES.
        """
        if recipe not in RECIPES:
            raise UsageError(f"no recipe {recipe!r}: {registry.nearest(recipe, RECIPES)}")
        if not folder.is_dir():
            raise UsageError(f"{folder} does not exist: give a run's folder or its name")
        files = sorted((folder / "evaluations").glob("step-*.json"))
        if not files:
            raise DataError(f"{folder} holds no evaluation: skelray evaluate {folder} makes one")
        try:
            tree = json.loads(files[-1].read_text(encoding="utf-8"))
            about, known = tree["about"], tree.get("files", {})
            first, outputs = about["first_output"], about["outputs"]
        except (json.JSONDecodeError, KeyError, TypeError):
            raise DataError(f"{files[-1]} is damaged: delete it to evaluate again") from None
        if output and output not in outputs:
            raise UsageError(f"{folder} has no output {output!r}: choose one of {outputs}")
        prefix = PRETRAINED if output in ("", first) else f"{PRETRAINED}/{output}"
        if (key := f"{prefix}/{recipe}/scores") not in known:
            raise DataError(
                f"{files[-1]} has no {key}: skelray evaluate {folder} "
                f"evaluation.{RECIPES[recipe]} makes it, where the test part has labels"
            )
        scores = Scores.read(files[-1].with_suffix("") / known[key])
        return cls(folder=folder, output=output or first, about=about, scores=scores)

    @property
    def name(self) -> str:
        """The run's name, with the output where the run has several."""
        several = len(self.about["outputs"]) > 1
        return f"{self.folder.name}:{self.output}" if several else self.folder.name


@dataclass(frozen=True, kw_only=True)
class Fused:
    """The members' weighted sum; accuracies in percent."""

    members: Sequence[Member]
    weights: Sequence[float]
    scores: Scores

    def table(self) -> str:
        """A row for each member and one for all together."""
        headline = HEADLINES[metric_of(self.members[0].about)]
        rows = [["", "weight", *headline.values()]]
        for member, weight in zip(self.members, self.weights, strict=True):
            rows.append([member.name, f"{weight:g}", *_shown(member.scores, headline)])
        together = f"ensemble of {len(self.members)}"
        rows.append([together, "", *_shown(self.scores, headline)])
        return "\n".join(aligned(rows))

    def record(self) -> dict[str, Any]:
        """What went in with which weight, and what came out."""
        name, about = f"eval/ensemble{len(self.members)}s", self.members[0].about
        return {
            **{key: about[key] for key in _SAME},
            "members": [
                {
                    "run": str(member.folder),
                    "output": member.output,
                    "checkpoint": member.about["checkpoint_hash"],
                    "weight": weight,
                }
                for member, weight in zip(self.members, self.weights, strict=True)
            ],
            "figures": {f"{name}/{key}": value for key, value in accuracies(self.scores).items()},
        }


def fuse(members: Sequence[Member], weights: Sequence[float]) -> Fused:
    """Adds the scores up, recording by recording.

    UsageError for weights that do not fit and members of different data; DataError where they were
    not measured on the same recordings with the same labels.
    """
    valid = all(np.isfinite(weights)) and min(weights) >= 0 and max(weights) > 0
    if len(weights) != len(members) or not valid:
        raise UsageError(
            f"{len(members)} runs need as many weights of 0 or more, not {list(weights)}"
        )
    known = set()
    for member in members:
        place = (member.folder.resolve(), member.output)
        if place in known:
            raise UsageError(f"{member.name} is named twice: give it a larger weight instead")
        known.add(place)
    first = members[0]
    total = np.zeros(first.scores.values.shape)
    for member, weight in zip(members, weights, strict=True):
        _require_same(first, member)
        if weight:  # 0 times minus infinity is no number
            total += weight * _in_order_of(first, member)
    fused = Scores(id=first.scores.id, label=first.scores.label, values=total)
    return Fused(members=members, weights=weights, scores=fused)


def accuracies(scores: Scores) -> dict[str, float]:
    """In percent, by figures' names."""
    return labelled.accuracies(torch.tensor(scores.values), torch.tensor(scores.label))


def _shown(scores: Scores, headline: Iterable[str]) -> list[str]:
    figures = accuracies(scores)
    return [f"{figures[name]:.1f}" for name in headline]


def _require_same(first: Member, member: Member) -> None:
    for key in _SAME:
        if member.about[key] != first.about[key]:
            raise UsageError(
                f"{member.name} was measured on {key} {member.about[key]}, "
                f"{first.name} on {first.about[key]}: only equal ones can be fused"
            )


def _in_order_of(first: Member, member: Member) -> np.ndarray:
    """The member's scores (n, classes), in the first one's order of recordings."""
    ours, theirs = first.scores, member.scores
    order = np.argsort(theirs.id)
    places = order[np.searchsorted(theirs.id, ours.id, sorter=order).clip(max=len(order) - 1)]
    unknown = ours.id[theirs.id[places] != ours.id]
    if len(unknown) or len(ours.id) != len(theirs.id):
        raise DataError(
            f"{member.name} and {first.name} were not measured on the same recordings "
            f"({len(theirs.id)} and {len(ours.id)}{f'; {unknown[0]}' if len(unknown) else ''}): "
            "skelray evaluate both again"
        )
    if (theirs.label[places] != ours.label).any():
        raise DataError(f"{member.name} and {first.name} have other labels for equal recordings")
    chosen: np.ndarray = theirs.values[places]
    return chosen

"""The splits of an annotation file: its lists of ids in pairs of what trains and what tests."""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Any

from skelray.platform.dataset import PickledArray, Splits
from skelray.platform.errors import DataError

_TRAIN = re.compile(r"(?:(.+)_)?train([0-9]*)")  # xsub_train, and UCF101's train1, GYM's train


def read_splits(split: Any, known: Set[str]) -> tuple[Splits, dict[str, str]]:
    """Splits by name, `{"train": ids, "test": ids}`, and what is wrong by the lists' names.

    NAME_train goes with NAME_test, or else with NAME_val; `train1` and `test1` are `split1`. Ids
    without an annotation are left out, and so is a split that would train on what it tests.
    """
    if not isinstance(split, dict):
        return {}, {"split": f"is of type {type(split).__name__}, expected a dict of lists of ids"}
    if not all(isinstance(name, str) and name.isprintable() for name in split):
        return {}, {"split": "one of its names is no text"}
    faults: dict[str, str] = {}
    lists = {name: _ids(name, value, known, faults) for name, value in split.items()}
    splits = {}
    paired = set()
    for name in lists:
        if not (match := _TRAIN.fullmatch(name)):
            continue
        prefix = f"{match[1]}_" if match[1] else ""
        tests = [f"{prefix}{part}{match[2]}" for part in ("test", "val")]
        test = next((test for test in tests if test in lists), None)
        if test is None:
            continue
        paired |= {name, test}
        if lists[name] and lists[test] and not _leaks(name, test, lists, faults):
            short = f"{match[1] or 'split'}{match[2]}"
            splits[short] = {"train": lists[name], "test": lists[test]}
    for name in (name for name in lists if name not in paired):
        faults.setdefault(f"split {name}", "belongs to no pair NAME_train, NAME_test or NAME_val")
    return splits, faults


def _ids(name: str, value: Any, known: Set[str], faults: dict[str, str]) -> list[str]:
    """The ids of a list that have an annotation, each once and in order; faults are noted."""
    try:
        listed = value.read().tolist() if isinstance(value, PickledArray) else value
    except (DataError, ValueError) as error:
        faults[f"split {name}"] = str(error)
        return []
    if not isinstance(listed, (list, tuple)) or not all(isinstance(i, str) for i in listed):
        faults[f"split {name}"] = "is not a list of ids"
        return []
    ids = list(dict.fromkeys(str(recording) for recording in listed))
    found = [recording for recording in ids if recording in known]
    if len(found) < len(ids):
        faults[f"split {name}"] = (
            f"{len(ids) - len(found)} of its {len(ids)} ids are of no annotation"
        )
    elif not ids:
        faults[f"split {name}"] = "is empty"
    return found


def _leaks(train: str, test: str, lists: dict[str, list[str]], faults: dict[str, str]) -> bool:
    both = set(lists[train]) & set(lists[test])
    if both:
        faults[f"split {test}"] = f"not used: {len(both)} of its recordings are in {train} too"
    return bool(both)

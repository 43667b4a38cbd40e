"""Which recordings keep their labels where only a share of them may be used."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from skelray.platform.data.source import Source
from skelray.platform.dataset import Dataset
from skelray.platform.errors import DataError
from skelray.platform.method import key_of


def few_labels(
    source: Source, index: Mapping[str, np.ndarray], rows: np.ndarray, share: float
) -> np.ndarray:
    """Those of `rows` (n,) over `index`, all with labels, that keep them where a `share` does.

    The data set's list of sample ids for its protocol and that share, where it ships one; else, of
    each class, what `few_of_each_class` chooses. Either is the same for all seeds, methods,
    machines and numbers of workers. DataError where a list names a recording that is not there.
    """
    file = shipped_list(source.dataset, source.protocol.name, share)
    if not file.exists():
        return few_of_each_class(index, rows, share)
    names = file.read_text(encoding="utf-8").split()
    listed = np.isin(index["id"][rows], names)
    if listed.sum() != len(names):
        missing = sorted(set(names) - set(index["id"][rows]))
        raise DataError(
            f"{len(missing)} of the {len(names)} recordings that {file} lists are not among the "
            f"labelled training recordings, such as {missing[0]}: prepare all of the data set"
        )
    few: np.ndarray = rows[listed]
    return few


def shipped_list(dataset: type[Dataset], protocol: str, share: float) -> Path:
    """Where a data set ships such a list: beside its code, as few_labels/PROTOCOL-PERCENT.txt."""
    folder = Path(inspect.getfile(dataset)).parent / "few_labels"
    return folder / f"{protocol}-{100 * share:g}.txt"


def few_of_each_class(
    index: Mapping[str, np.ndarray], rows: np.ndarray, share: float
) -> np.ndarray:
    """A share of each class's rows, rounded, and at least one, in the order of `rows`.

    A function of the sample ids alone; a smaller share lies inside a larger one.
    """
    place = np.array([key_of("few labels", name) for name in index["id"][rows]])
    kept = []
    for label in np.unique(index["label"][rows]):
        (own,) = np.nonzero(index["label"][rows] == label)
        kept.append(own[place[own].argsort()][: max(1, round(share * len(own)))])
    few: np.ndarray = rows[np.sort(np.concatenate(kept))]
    return few

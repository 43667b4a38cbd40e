"""Splits by name: a data set's own, those that came with its files, and leave-one-subject-out."""

from __future__ import annotations

import re

from skelray.platform.data.store import Store, read_columns
from skelray.platform.dataset import ALIASES, Dataset, Protocol
from skelray.platform.errors import UsageError
from skelray.platform.method.draws import key_of

_LEAVE_ONE_OUT = re.compile(r"loso([0-9]+)")


def find_protocol(dataset: type[Dataset], store: Store, name: str) -> Protocol:
    """The protocol of that name; UsageError names the known ones.

    `losoK` (leave one subject out) tests on subject K and trains on all others.
    """
    if match := _LEAVE_ONE_OUT.fullmatch(name.lower()):
        return _leave_one_out(dataset, store, int(match[1]))
    splits = store.splits
    by_name = {known.lower(): known for known in splits}
    for wanted in (name.lower(), ALIASES.get(name.lower(), "")):
        if wanted in by_name:
            parts = splits[by_name[wanted]]
            return _listed(by_name[wanted], frozenset(parts["train"]), frozenset(parts["test"]))
        if wanted in (protocol.name.lower() for protocol in dataset.protocols):
            break  # its own name comes before what it is an alias of
    return dataset.protocol(name, further=tuple(splits))


def _leave_one_out(dataset: type[Dataset], store: Store, subject: int) -> Protocol:
    subjects = _subjects(store)
    if subject not in subjects:
        known = ", ".join(map(str, subjects)) or "none: its recordings name no subjects"
        raise UsageError(f"loso{subject}: {dataset.name} has no subject {subject}, it has {known}")
    train = [other for other in subjects if other != subject]
    if not train:
        raise UsageError(f"loso{subject}: {subject} is the only subject of {dataset.name}")
    held = frozenset(train[::6])  # every sixth, and one at least, chooses learning rates
    test = frozenset({subject})  # not all others: that would be recordings of unknown subjects too
    return Protocol(f"loso{subject}", "subject", frozenset(train), held, test=test)


def _listed(name: str, train: frozenset[str], test: frozenset[str]) -> Protocol:
    """A split by ids; a sixth of what trains, fixed by the ids themselves, is held out."""
    held = frozenset(sample for sample in train if key_of(sample) % 6 == 0)
    return Protocol(name, "id", train, held, test=test, holdout_field="id")


def _subjects(store: Store) -> list[int]:
    """All subjects that the recordings name, sorted."""
    found: set[int] = set()
    for shard in store.shards:
        column = read_columns(shard, ["subject"]).column("subject")
        found |= set(column.unique().to_pylist())
    return sorted(found - {None})

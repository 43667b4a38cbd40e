"""Finds plugins by name: the folders of this repository and other people's packages.

A folder below `methods/` says in its `__init__.py` `METHODS = {name: "module:Class"}`, one below
`datasets/` `DATASETS = {name: "module:Class"}`; a plugin is imported when it is asked for. Another
package announces classes through the entry-point groups `skelray.methods` and `skelray.datasets`.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

import skelray
from skelray.platform.dataset import Dataset
from skelray.platform.errors import SkelrayError, UsageError, in_one_line
from skelray.platform.method import Method


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error's line: the name that was probably meant, or all there are."""
    known = sorted(known)
    if not known:
        return "there is none"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(known)}"


@cache
def _plugins(kind: str) -> Mapping[str, str]:
    """Name -> "module:Class" of `methods` or `datasets`."""
    found: dict[str, str] = {}
    for root in skelray.__path__:
        for module in pkgutil.iter_modules([str(Path(root) / kind)]):
            package = importlib.import_module(f"skelray.{kind}.{module.name}")
            for name, target in getattr(package, kind.upper(), {}).items():
                _add(found, name, f"{package.__name__}.{target}")
    for entry in entry_points(group=f"skelray.{kind}"):
        _add(found, entry.name, entry.value)
    return found


def _add(found: dict[str, str], name: str, target: str) -> None:
    if name in found:
        raise UsageError(
            f"two plugins are named {name!r}, {found[name]} and {target}: uninstall or rename one"
        )
    found[name] = target


def _load(kind: str, what: str, name: str) -> type:
    known = _plugins(kind)
    if name not in known:
        raise UsageError(f"no {what} named {name!r}: {nearest(name, known)}")
    module, _, attribute = known[name].partition(":")
    try:
        loaded: type = getattr(importlib.import_module(module), attribute)
    except SkelrayError:
        raise
    except Exception as error:  # any fault of its module, a skeleton that contradicts itself
        raise UsageError(f"{what} {name} cannot be loaded: {in_one_line(error)}") from error
    return loaded


def method_names() -> list[str]:
    """All methods, sorted."""
    return sorted(_plugins("methods"))


def dataset_names() -> list[str]:
    """All data sets, sorted."""
    return sorted(_plugins("datasets"))


def load_method(name: str) -> type[Method]:
    """The method class of that name; UsageError names the nearest."""
    return _load("methods", "method", name)


def load_dataset(name: str) -> type[Dataset]:
    """The data set class of that name; UsageError names the nearest."""
    return _load("datasets", "data set", name)


def experiment_files() -> dict[tuple[str, str], Path]:
    """(method, experiment) -> YAML, shipped here or by packages that announce a method."""
    roots = [Path(root) / "experiments" for root in skelray.__path__]
    for entry in entry_points(group="skelray.methods"):
        package = importlib.import_module(entry.value.partition(":")[0].partition(".")[0])
        # a plugin may be a single module: it ships no experiments
        roots += [Path(root) / "experiments" for root in getattr(package, "__path__", ())]
    return {
        (file.parent.name, file.stem): file
        for root in roots
        for file in sorted(root.glob("*/*.yaml"))
    }

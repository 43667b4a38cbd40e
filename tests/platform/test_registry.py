"""The registry: everything it names loads, other packages are found, clashes are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from skelray.platform import registry
from skelray.platform.dataset import ALIASES, Dataset
from skelray.platform.errors import UsageError
from skelray.platform.method import Method, MethodConfig

Install = Callable[[str], Path]


def test_every_method_loads() -> None:
    assert "skeletonclr" in registry.method_names()
    for name in registry.method_names():
        method = registry.load_method(name)
        assert issubclass(method, Method) and issubclass(method.Config, MethodConfig)
        for preset, settings in method.PRESETS.items():
            assert method.Config(**settings) != method.Config(), preset


def test_every_data_set_loads_and_splits_its_subjects() -> None:
    assert {"ntu60", "ntu120", "nwucla", "synthetic"} <= set(registry.dataset_names())
    for name in registry.dataset_names():
        dataset = registry.load_dataset(name)
        assert issubclass(dataset, Dataset) and dataset.name == name
        assert len(set(dataset.classes)) == len(dataset.classes) > 1
        for protocol in dataset.protocols:
            assert protocol.train and protocol.holdout
            others = (alias for alias, known in ALIASES.items() if known == protocol.name)
            for alias in (protocol.name, *others):
                assert dataset.protocol(alias.upper()) is protocol


def test_a_plugin_that_cannot_be_loaded_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"own": "json:loads.nothing", "gone": "no.such.module:Class"}
    monkeypatch.setattr(registry, "_plugins", lambda kind: known)
    with pytest.raises(UsageError, match=r"data set own cannot be loaded: AttributeError: .*json"):
        registry.load_dataset("own")
    with pytest.raises(UsageError, match="method gone cannot be loaded: ModuleNotFoundError: No"):
        registry.load_method("gone")


def test_an_unknown_protocol_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"nwucla has no protocol 'xset': choose one of xview"):
        registry.load_dataset("nwucla").protocol("xset")


def test_nearest() -> None:
    assert registry.nearest("skeletoncrl", ["skeletonclr", "mamp"]) == "did you mean 'skeletonclr'?"
    assert registry.nearest("x", ["b", "a"]) == "choose one of a, b"
    assert registry.nearest("x", []) == "there is none"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no method named 'skeletonlcr': did you mean 'skeletonc"):
        registry.load_method("skeletonlcr")
    with pytest.raises(UsageError, match="no data set named 'ntu6': did you mean 'ntu60'"):
        registry.load_dataset("ntu6")


def test_experiments_belong_to_methods() -> None:
    files = registry.experiment_files()
    assert {method for method, _ in files} <= set(registry.method_names())
    assert files["skeletonclr", "synthetic"].is_file()


def test_other_packages_are_found(install: Install) -> None:
    install(
        "[skelray.methods]\ntheirs = theirs:Theirs\n"
        "[skelray.datasets]\nrecordings = theirs:Recordings\n"
    )
    assert registry.load_method("theirs").__doc__ == "A method of another package."
    assert registry.load_dataset("recordings").__doc__ == "A data set of another package."
    assert "theirs" in registry.method_names() and "recordings" in registry.dataset_names()
    assert ("skeletonclr", "synthetic") in registry.experiment_files()


def test_two_plugins_of_one_name_are_refused(install: Install) -> None:
    install("[skelray.methods]\nskeletonclr = theirs:Theirs\n")
    with pytest.raises(
        UsageError,
        match=r"two plugins are named 'skeletonclr', skelray\.methods\.crossclr\.skeletonclr:Skel"
        r"etonCLR and theirs:Theirs: uninstall or rename one",
    ):
        registry.load_method("skeletonclr")

"""Who imports whom, read from the sources; the rules are those of docs/architecture.md."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("platform", "methods", "datasets", "experiments")

# Libraries that only the named modules import (path prefixes below the root).
ALLOWED_IN = {
    "ray": (
        "platform/data/",
        "platform/training/ray_",
        "platform/evaluation/",
        "platform/tuning/",
        "platform/cluster.py",
        "platform/runner.py",
    ),
    "mlflow": ("platform/tracking/",),
    "decord": ("platform/video/",),
    "av": ("platform/video/",),
}

# Modules that run wherever torch does: no third party but these.
PURE_PLATFORM = (
    "platform/skeleton/",
    "platform/nn/",
    "platform/augment/",
    "platform/clips/",
    "platform/objectives/",
    "platform/method/",
    "platform/preprocessing/",
    "platform/optim",
    "platform/distributed",
)
PURE_THIRD_PARTY = {
    **dict.fromkeys((*PURE_PLATFORM, "methods/"), ("torch", "numpy", "pydantic")),
    "datasets/": ("numpy", "pyarrow", "cv2"),  # cv2 draws what is made here
}

# What plugins may import of the platform.
PLUGIN_IMPORTS = {
    "methods/": (
        "skelray.platform.method",
        "skelray.platform.preprocessing",
        "skelray.platform.clips",
        "skelray.platform.optim",
        "skelray.platform.evaluation.recipe",
        "skelray.platform.nn",
        "skelray.platform.augment",
        "skelray.platform.objectives",
        "skelray.platform.skeleton",
        "skelray.platform.distributed",
        "skelray.platform.errors",
    ),
    "datasets/": (
        "skelray.platform.dataset",
        "skelray.platform.video.writing",
        "skelray.platform.importing",  # the base class for folders of arrays
        "skelray.platform.skeleton",
        "skelray.platform.errors",
        "skelray.datasets.ntu",  # the reader of `.skeleton` files, whoever recorded them
        "skelray.datasets.pyskl",  # the reader of annotation pickles, whoever wrote them
    ),
}


@cache
def modules() -> dict[str, Path]:
    """Every Python module of ours: its dotted name and its file below the root."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            relative = path.relative_to(ROOT)
            parts = relative.with_suffix("").parts
            name = ".".join(("skelray", *(parts[:-1] if parts[-1] == "__init__" else parts)))
            found[name] = relative
    return found


def is_type_checking(node: ast.AST) -> bool:
    """True for `if TYPE_CHECKING:`, whose imports never happen."""
    if not isinstance(node, ast.If):
        return False
    return ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def walk_imports(node: ast.AST) -> Iterator[str]:
    """Dotted names that the code below `node` imports, inside functions too."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "relative imports are refused by the linter"
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif not is_type_checking(child):
            yield from walk_imports(child)


@cache
def imports_of(path: Path) -> tuple[str, ...]:
    """What the file at `path` imports; `from a import b` counts as `a.b`."""
    return tuple(walk_imports(ast.parse((ROOT / path).read_text(), filename=str(path))))


def all_imports() -> Iterator[tuple[str, str]]:
    """(file as text, imported name) over every module of ours."""
    for path in modules().values():
        for name in imports_of(path):
            yield path.as_posix(), name


def inside(name: str, packages: tuple[str, ...]) -> bool:
    """True where the dotted `name` is one of `packages` or lies below one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def test_the_reader_sees_every_kind_of_import() -> None:
    source = """
from typing import TYPE_CHECKING
import a.b, c
if TYPE_CHECKING:
    import never
def f():
    try:
        from d.e import g as h
    except ImportError:
        import i
"""
    assert list(walk_imports(ast.parse(source))) == [
        "typing.TYPE_CHECKING",
        "a.b",
        "c",
        "d.e.g",
        "i",
    ]
    assert len(modules()) > 10
    assert modules()["skelray.platform.dataset"] == Path("platform/dataset.py")


def test_platform_imports_no_plugin() -> None:
    plugins = ("skelray.methods", "skelray.datasets", "skelray.experiments")
    wrong = [
        (path, name)
        for path, name in all_imports()
        if path.startswith("platform/") and inside(name, plugins)
    ]
    assert wrong == []


@pytest.mark.parametrize("library", ALLOWED_IN)
def test_library_stays_where_it_belongs(library: str) -> None:
    wrong = [
        (path, name)
        for path, name in all_imports()
        if inside(name, (library,)) and not path.startswith(ALLOWED_IN[library])
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", PURE_THIRD_PARTY)
def test_pure_module_needs_few_libraries(folder: str) -> None:
    known = {"skelray", *sys.stdlib_module_names, *PURE_THIRD_PARTY[folder]}
    wrong = [
        (path, name)
        for path, name in all_imports()
        if path.startswith(folder) and name.partition(".")[0] not in known
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", PLUGIN_IMPORTS)
def test_plugin_imports_its_own_folder_and_the_contract(folder: str) -> None:
    wrong = []
    for path, name in all_imports():
        if not path.startswith(folder) or not inside(name, ("skelray",)):
            continue
        own = ".".join(("skelray", *Path(path).parts[:2]))  # methods do not import methods
        if not inside(name, (*PLUGIN_IMPORTS[folder], own)):
            wrong.append((path, name))
    assert wrong == []


def test_standard_platform_is_no_package() -> None:
    """`from platform.dataset import …` would be a slip: `platform` is the standard library's."""
    folders = {path.stem for path in (ROOT / "platform").iterdir()}
    wrong = [
        (path, name)
        for path, name in all_imports()
        if name.startswith("platform.") and name.split(".")[1] in folders
    ]
    assert wrong == []


def test_no_import_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for module, path in modules().items():
        # `from a import b` needs module a.b where there is one, and module a where b is a name.
        wanted = {n if n in modules() else n.rpartition(".")[0] for n in imports_of(path)}
        graph[module] = (wanted & modules().keys()) - {module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_no_catch_all_module() -> None:
    vague = {"utils", "util", "helpers", "common", "misc"}
    assert [str(p) for p in modules().values() if vague & {*p.parts, p.stem}] == []


def test_pure_modules_load_no_heavy_library() -> None:
    pure = [
        name
        for name, path in modules().items()
        if path.as_posix().startswith(("methods/", "datasets/", *PURE_PLATFORM))
    ]
    code = (
        f"import importlib, sys\nfor name in {pure!r}: importlib.import_module(name)\n"
        f"print(*sorted({set(ALLOWED_IN)!r} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""

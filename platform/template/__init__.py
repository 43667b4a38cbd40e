"""`skelray new-dataset`: a data set to start from, which works before it is edited.

The `.txt` files beside this module are the files it writes, with `$name` where a name goes.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template

from skelray.platform import registry
from skelray.platform.errors import UsageError
from skelray.platform.skeleton.specs import get_skeleton

_NAME = re.compile(r"[a-z][a-z0-9_]{0,23}")

# written file -> template; `$` as in the templates
_IN_CHECKOUT = {
    "datasets/$name/__init__.py": "registered",
    "datasets/$name/dataset.py": "dataset",
    "datasets/$name/README.md": "readme",
    "tests/datasets/$name/test_dataset.py": "test",
}
_IN_PACKAGE = {
    "skelray-$name/pyproject.toml": "project",
    "skelray-$name/README.md": "readme",
    "skelray-$name/$module/__init__.py": "package",
    "skelray-$name/$module/dataset.py": "dataset",
    "skelray-$name/tests/test_dataset.py": "test",
}


def new_dataset(name: str, *, skeleton: str, into: Path) -> list[Path]:
    """Writes the files of a new data set below `into` and returns them, the class's first.

    Where `into` is a checkout of skelray it becomes a folder of that, elsewhere a package of its
    own that announces the data set by an entry point. UsageError where the name cannot be used or
    something is there already; then nothing is written.
    """
    _check_name(name)
    if not into.is_dir():
        raise UsageError(f"--into {into} is not a folder")
    inside = is_checkout(into)
    values = _values(name, skeleton, inside=inside)
    files = {
        into / Template(path).substitute(values): _template(source).substitute(values)
        for path, source in (_IN_CHECKOUT if inside else _IN_PACKAGE).items()
    }
    for folder in dict.fromkeys(path.parent for path in files):
        if folder.exists():
            raise UsageError(f"{folder} is there already: choose another name, or remove it")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return sorted(files, key=lambda path: (path.name != "dataset.py", path))


def is_checkout(folder: Path) -> bool:
    """True for the root of skelray's sources."""
    return all((folder / name).is_file() for name in ("skelray/__init__.py", "platform/dataset.py"))


def next_steps(name: str, files: list[Path], into: Path) -> str:
    """What to do with the files that `new_dataset` has written."""
    install = "" if is_checkout(into) else f"pip install -e {into / f'skelray-{name}'}\n  "
    written = "\n".join(f"wrote {path}" for path in files)
    return (
        f"{written}\n\nnext:\n"
        f"  edit {files[0]}: classes, subjects, skeleton, terms\n"
        f"  {install}skelray check {name} --raw FOLDER\n"
        f"  skelray prepare {name} --raw FOLDER\n"
        f"  skelray describe {name}"
    )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise UsageError(
            f"{name!r} is no name for a data set: take up to 24 of a-z, 0-9 and _, a letter first"
        )
    if name in registry.dataset_names():
        raise UsageError(f"there is a data set named {name!r} already: choose another name")


def _values(name: str, skeleton: str, *, inside: bool) -> Mapping[str, str | int]:
    spec = get_skeleton(skeleton)
    module = f"skelray.datasets.{name}" if inside else f"skelray_{name}"
    class_name = "".join(part.capitalize() for part in name.split("_")) + "Dataset"
    own = f"from {module}.dataset import {class_name}"
    check = "from skelray.platform.validation import check_raw"
    return {
        "name": name,
        "module": module,
        "class_name": class_name,
        "skeleton": spec.name.upper(),
        "joints": spec.n_joints,
        "dimensions": spec.dimensions,
        "unit": spec.unit,
        # a block of its own each for what others wrote, and for what is one's own
        "imports": f"\n{own}\n{check}" if inside else f"{check}\n\n{own}",
    }


def _template(name: str) -> Template:
    return Template(Path(__file__).with_name(f"{name}.txt").read_text(encoding="utf-8"))

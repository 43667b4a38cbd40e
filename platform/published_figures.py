"""What papers report of a method, for tables to stand beside what was measured here.

A method's folder holds `figures.yaml`: a list of figures for each of the names it registers.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from skelray.platform import registry
from skelray.platform.config import read_yaml
from skelray.platform.errors import UsageError


class PublishedFigure(BaseModel):
    """One number of a paper."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    protocol: str
    output: str  # in our names; those evaluated together joined by hyphens
    figure: str  # such as linear/top1
    value: float
    source: str


_FILE = TypeAdapter(Mapping[str, Sequence[PublishedFigure]])


def published_figures(
    method: str, dataset: str, protocol: str, output: str
) -> Sequence[PublishedFigure]:
    """Those of one output on one data set; none where the method's folder has no such file."""
    wanted = (dataset, protocol, output)
    return [f for f in _of(method) if (f.dataset, f.protocol, f.output) == wanted]


@cache
def _of(method: str) -> Sequence[PublishedFigure]:
    path = Path(inspect.getfile(registry.load_method(method))).parent / "figures.yaml"
    if not path.exists():
        return ()
    try:
        return _FILE.validate_python(read_yaml(path)).get(method, ())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path}: {place}: {first['msg']}") from None

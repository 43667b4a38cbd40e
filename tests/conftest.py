"""Ray for the modules that ask for it, and reference material outside the repository.

That is recordings, and outputs of published networks, in the folder SKELRAY_SHARED, by default
`shared` beside the repository. Tests that ask for it through these fixtures skip, with the reason,
where it is absent.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Golden:
    """What a published network gave for given inputs: `cases[name]["inputs" | "outputs"]`."""

    meta: dict[str, Any]
    shapes: dict[str, list[int]]
    fixed: dict[str, Tensor]
    cases: dict[str, dict[str, dict[str, Tensor]]]

    def state(self) -> dict[str, Tensor]:
        """The weights under which the cases were run, with the original's state_dict keys."""
        state = {key: golden_weight(key, shape) for key, shape in self.shapes.items()} | self.fixed
        aliases = json.loads(self.meta.get("aliases", "{}"))
        return state | {alias: state[key] for alias, key in aliases.items()}


def golden_weight(key: str, shape: list[int]) -> Tensor:
    """The weight that stands under `key`; it depends on the key and the shape alone."""
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    if key.endswith("running_var"):
        return 0.75 + 0.5 * torch.rand(shape, generator=generator)
    normal = torch.randn(shape, generator=generator)
    if len(shape) >= 2:
        return normal / math.sqrt(max(1, math.prod(shape[1:])))
    return 0.1 * normal + (1 if key.endswith("weight") else 0)


@pytest.fixture(scope="module")
def ray_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ray on this machine for a whole module, and an empty SKELRAY_HOME."""
    from skelray.platform import cluster  # loads Ray, which most tests do without

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKELRAY_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("RAY_ADDRESS", raising=False)
        with cluster.connected():
            yield


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """`shared("data/ntu_sample")`: the path of that reference material, or a skip."""
    folder = Path(os.environ.get("SKELRAY_SHARED", REPOSITORY.parent / "shared"))

    def find(name: str) -> Path:
        if not (folder / name).exists():
            pytest.skip(f"no {name} in {folder} (set SKELRAY_SHARED)")
        return folder / name

    return find


@pytest.fixture(scope="session")
def golden(shared: Callable[[str], Path]) -> Callable[[str], Golden]:
    """`golden("crossclr_encoder_c16")`: that reference, or a skip."""

    def load(name: str) -> Golden:
        stored = torch.load(shared(f"golden/{name}.pt"), weights_only=True)
        cases = {case["name"]: case for case in stored["cases"]}
        return Golden(stored["meta"], stored["shapes"], stored["fixed"], cases)

    return load

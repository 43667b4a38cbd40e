"""What a skeleton is: its joints by name and how they hang together. Joint numbers are 0-based."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class SkeletonSpec:
    """The joints of one body model and the groups of them that methods refer to.

    `centre`, `root` and `spine` are None where the sensor or pose estimator has no such joint
    (COCO, Smarthome's 13). Such a skeleton cannot be centred on one joint nor turned by its spine,
    and its graph needs an explicit centre for the spatial strategy; taking a midpoint of hips or
    shoulders instead is a choice that preprocessing has to make and name.

    Raises:
        ValueError: where the parts contradict each other; the message names what is wrong.
    """

    name: str
    joints: tuple[str, ...]
    edges: tuple[Pair, ...]  # undirected, without self loops
    bone_pairs: tuple[Pair, ...]  # (child, parent); top of the tree: itself
    left_right: tuple[Pair, ...]  # (left, right); joints not listed lie in the middle
    parts: Mapping[str, tuple[int, ...]] = field(hash=False)  # each joint in exactly one part
    shoulders: Pair  # (left, right)
    centre: int | None = None  # between the shoulders: origin after centring, centre of the graph
    root: int | None = None  # base of the spine or centre of the hips
    spine: Pair | None = None  # (bottom, top)
    dimensions: int = 3
    unit: str = "metre"

    def __post_init__(self) -> None:
        """Checks that the description is complete and consistent."""
        self._check_fields()
        self._check_indices()
        self._check_edges()
        self._check_bones()
        self._check_groups()

    @property
    def n_joints(self) -> int:
        """Number of joints V."""
        return len(self.joints)

    @property
    def parents(self) -> tuple[int, ...]:
        """Parent of each joint along the bones; the top of the tree is its own parent."""
        parent = dict(self.bone_pairs)
        return tuple(parent[joint] for joint in range(self.n_joints))

    @property
    def flip(self) -> tuple[int, ...]:
        """Permutation that swaps left and right: `x[..., flip]` relabels a mirrored body."""
        order = list(range(self.n_joints))
        for left, right in self.left_right:
            order[left], order[right] = right, left
        return tuple(order)

    def _require(self, condition: bool, problem: str) -> None:
        if not condition:
            raise ValueError(f"skeleton {self.name}: {problem}")

    def _require_each_once(self, name: str, joints: list[int]) -> None:
        twice, missing = _repeated(joints), sorted(set(range(self.n_joints)) - set(joints))
        self._require(
            not twice and not missing,
            f"{name} must hold each joint once; more than once: {twice}, missing: {missing}",
        )

    def _check_fields(self) -> None:
        self._require(self.n_joints > 0, "it has no joints")
        twice = _repeated(self.joints)
        self._require(not twice, f"joint names occur twice: {twice}")
        self._require(self.dimensions in (2, 3), f"dimensions is {self.dimensions}, not 2 or 3")
        self._require(bool(self.unit), "unit is empty")

    def _check_indices(self) -> None:
        groups: dict[str, Iterable[int]] = {
            name: [joint for pair in pairs for joint in pair]
            for name, pairs in (
                ("edges", self.edges),
                ("bone_pairs", self.bone_pairs),
                ("left_right", self.left_right),
                ("spine", () if self.spine is None else (self.spine,)),
                ("shoulders", (self.shoulders,)),
            )
        }
        groups |= {f"parts[{name!r}]": joints for name, joints in self.parts.items()}
        for name in ("centre", "root"):
            joint = getattr(self, name)
            groups[name] = () if joint is None else (joint,)
        for name, joints in groups.items():
            wrong = [joint for joint in joints if not 0 <= joint < self.n_joints]
            self._require(not wrong, f"{name} names joints {wrong} outside 0..{self.n_joints - 1}")

    def _check_edges(self) -> None:
        loops = [edge for edge in self.edges if edge[0] == edge[1]]
        self._require(not loops, f"edges holds self loops: {loops}")
        twice = _repeated((min(edge), max(edge)) for edge in self.edges)
        self._require(not twice, f"edges holds pairs twice: {twice}")
        reached = {0}
        for _ in range(self.n_joints):
            for v, w in self.edges:
                if v in reached or w in reached:
                    reached |= {v, w}
        apart = sorted(set(range(self.n_joints)) - reached)
        self._require(not apart, f"edges do not connect joints {apart} with joint 0")

    def _check_bones(self) -> None:
        children = [child for child, _ in self.bone_pairs]
        self._require_each_once("bone_pairs (as child)", children)
        tops = [child for child, parent in self.bone_pairs if child == parent]
        self._require(
            len(tops) == 1, f"bone_pairs must hold one joint that is its own parent, not {tops}"
        )
        parents = self.parents
        for joint in range(self.n_joints):
            above = joint
            for _ in range(self.n_joints):
                above = parents[above]
            self._require(above == tops[0], f"bone_pairs of joint {joint} run in a circle")

    def _check_groups(self) -> None:
        twice = _repeated(joint for pair in self.left_right for joint in pair)
        self._require(not twice, f"left_right holds joints {twice} more than once")
        self._require(
            self.shoulders in self.left_right,
            f"shoulders {self.shoulders} must be one of the left_right pairs",
        )
        listed = [joint for joints in self.parts.values() for joint in joints]
        self._require_each_once("parts", listed)


def _repeated(items: Iterable[Any]) -> list[Any]:
    items = list(items)
    return sorted({item for item in items if items.count(item) > 1})

"""Recordings as a web page of animated skeletons, whole in one file that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from skelray.platform import paths
from skelray.platform.data.describe import Description, examples
from skelray.platform.dataset import Dataset, SkeletonSample
from skelray.platform.errors import UsageError
from skelray.platform.skeleton.spec import SkeletonSpec

CARDS = 12  # recordings on a page
LONGEST = 300  # frames of a recording that are shown
UNIT = 1000  # page coordinates: the view reaches from -UNIT to UNIT
DEFAULT_FPS = 30.0  # where a recording names no frame rate

_FAR = 20 * UNIT  # what lies further outside is drawn there, so that numbers stay short
_DOUBTFUL = 0.3  # scores below are drawn light; mmaction2 leaves such joints out
_ABSENT, _LOST, _DOUBTED, _SEEN = range(4)  # how a joint is drawn: not at all, hollow, light, full


def write_page(path: Path, description: Description, summary: str, *, seed: int) -> None:
    """Writes the page of a store; UsageError where that file cannot be written."""
    samples = examples(description, count=CARDS, seed=seed)
    try:
        paths.write_text(path, page(description.dataset, samples, summary))
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror})") from None


def page(dataset: type[Dataset], samples: Sequence[SkeletonSample], summary: str) -> str:
    """The HTML text: a card for each recording, and `summary` in plain text below them."""
    skeleton = dataset.skeleton
    up = up_axis(samples, skeleton)
    cards = [{**about(sample, dataset), "frames": frames(sample, up)} for sample in samples]
    left = [joint for joint, _ in skeleton.left_right]
    drawn = {"edges": skeleton.edges, "left": left, "dimensions": skeleton.dimensions}
    source = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment.from_string(source).render(
        dataset=dataset, skeleton=drawn, cards=cards, summary=summary
    )


def about(sample: SkeletonSample, dataset: type[Dataset]) -> dict[str, Any]:
    """What a card says of its recording."""
    named = ("subject", "camera", "setup")
    facts = [
        f"{name} {getattr(sample, name)}" for name in named if getattr(sample, name) is not None
    ]
    length = f"{sample.frames} frames"
    if sample.frames > LONGEST:
        length += f", the first {LONGEST} are shown"
    rate = f"{sample.fps:g} fps" if sample.fps else f"played at {DEFAULT_FPS:g} fps"
    return {
        "title": "unlabelled" if sample.label is None else dataset.classes[sample.label],
        "id": sample.id,
        "facts": [*facts, length, rate],
        "fps": sample.fps or DEFAULT_FPS,
    }


def frames(sample: SkeletonSample, up: tuple[int, int]) -> list[list[list[Any]]]:
    """For each frame its bodies as [person, how each joint is drawn, coordinates of all joints].

    How joints are drawn is a string with a digit for each, empty where all are seen. Coordinates
    (V · C integers) run to the right, upwards and, in three dimensions, away from the viewer.
    """
    bodies = sample.frame_bodies[:LONGEST]
    shown = int(bodies.sum())
    places = _in_view(_oriented(sample.xyz[:shown], up)).reshape(shown, -1)
    looks = _looks(sample)[:shown]
    persons = person_numbers(sample)[:shown]
    drawn = (
        [person, "" if (look == _SEEN).all() else "".join(map(str, look)), place]
        for person, look, place in zip(persons.tolist(), looks, places.tolist(), strict=True)
    )
    return [[next(drawn) for _ in range(count)] for count in bodies]


def person_numbers(sample: SkeletonSample) -> np.ndarray:
    """Who each body is (B,): by id in the order of appearance, else by place in the list."""
    if sample.body_id is None:
        first = np.cumsum(sample.frame_bodies) - sample.frame_bodies
        return np.arange(len(sample.xyz)) - np.repeat(first, sample.frame_bodies)
    _, first, person = np.unique(sample.body_id, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[person]


def up_axis(samples: Sequence[SkeletonSample], skeleton: SkeletonSpec) -> tuple[int, int]:
    """The axis that points up and its sign: from the legs to the head in most of the bodies.

    Pixels count downwards.
    """
    legs = [*skeleton.parts.get("left_leg", ()), *skeleton.parts.get("right_leg", ())]
    head = list(skeleton.parts.get("head", ()))
    if skeleton.dimensions == 2 or not legs or not head:
        return 1, -1 if skeleton.dimensions == 2 else 1
    bodies = np.concatenate([sample.xyz for sample in samples])
    upwards = np.median(bodies[:, head].mean(axis=1) - bodies[:, legs].mean(axis=1), axis=0)
    axis = int(np.argmax(np.abs(upwards)))
    return axis, 1 if upwards[axis] >= 0 else -1


def _oriented(xyz: np.ndarray, up: tuple[int, int]) -> np.ndarray:
    """Coordinates (B, V, C) float64 to the right, upwards, away; the origin stays the origin."""
    axis, sign = up
    level = [other for other in range(xyz.shape[-1]) if other != axis]
    turned = xyz[..., [level[0], axis, *level[1:]]].astype(np.float64)
    turned[..., 1] *= sign
    return turned


def _in_view(places: np.ndarray) -> np.ndarray:
    """Whole numbers (B, V, C): all but the outermost joints lie inside, whichever way it turns."""
    known = places[(places != 0).any(axis=-1)]
    if not len(known):
        return np.zeros(places.shape, np.int64)
    middle = np.percentile(known, [0.5, 99.5], axis=0).mean(axis=0)
    reach = np.percentile(np.linalg.norm(known - middle, axis=-1), 99.5) or 1.0
    return np.clip(np.rint(UNIT * (places - middle) / reach), -_FAR, _FAR).astype(np.int64)


def _looks(sample: SkeletonSample) -> np.ndarray:
    """How each joint is drawn (B, V); exact zeros are what files write where they have no joint."""
    looks = np.full(sample.xyz.shape[:2], _SEEN)
    if sample.joint_state is not None:
        looks = np.clip(sample.joint_state, 0, 2) + _LOST
    elif sample.score is not None:
        looks[sample.score < _DOUBTFUL] = _DOUBTED
        looks[sample.score <= 0] = _LOST
    looks[(sample.xyz == 0).all(axis=-1)] = _ABSENT
    return looks

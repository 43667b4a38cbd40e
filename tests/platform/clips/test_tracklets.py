"""One person box per frame: cases worked out by hand, and scenes against a slow reading."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pytest

from skelray.platform.clips.tracklets import AS_PUBLISHED, SOUND, BoxRules, person_boxes
from tests.platform.clips.slow_boxes import Box, slow_person_boxes

PICTURE = (540, 960)
BOTH = pytest.mark.parametrize("rules", [SOUND, AS_PUBLISHED], ids=["sound", "published"])


def box(x: float, y: float, score: float = 0.9, *, width: float = 100, height: float = 200) -> list:
    """A box by its centre."""
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2, score]


def video(*frames: list[list[float]]) -> list[np.ndarray]:
    return [np.array(boxes, np.float32).reshape(-1, 5) for boxes in frames]


def boxes_of(*frames: list[list[float]], rules: BoxRules = SOUND) -> np.ndarray:
    return person_boxes(video(*frames), picture=PICTURE, rules=rules)


def centres(boxes: np.ndarray) -> list[float]:
    return ((boxes[:, 0] + boxes[:, 2]) / 2).tolist()


MIDDLE = box(480, 270)


@BOTH
def test_a_box_inside_a_better_one_is_dropped(rules: BoxRules) -> None:
    """Step 1: the part of a body would otherwise make the count of certain boxes two."""
    body, head = box(480, 270, 0.99), box(480, 220, 0.97, width=40, height=40)
    assert boxes_of([body, head], [head, body], rules=rules).tolist() == [
        pytest.approx(body),
        pytest.approx(body),
    ]
    # at exactly 0.8 of its area inside it stays: two certain boxes, one frame, no tracklet
    edge = box(530 + 12, 270, 0.97, width=40, height=40)
    assert common_share(edge, body) == 0.2
    edge = box(530 - 12, 270, 0.97, width=40, height=40)
    assert common_share(edge, body) == 0.8
    assert not boxes_of([body, edge], rules=rules).any()
    further = box(530 - 13, 270, 0.97, width=40, height=40)
    assert boxes_of([body, further], rules=rules)[0] == pytest.approx(body)
    # the better one of the two is the part: it does not go
    assert not boxes_of([body, box(480, 220, 0.995, width=40, height=40)], rules=rules).any()


def common_share(a: list[float], b: list[float]) -> float:
    """Of a's area inside b, where a's height is."""
    return (min(a[2], b[2]) - max(a[0], b[0])) / (a[2] - a[0])


@BOTH
def test_one_certain_box_in_every_frame_is_the_person(rules: BoxRules) -> None:
    """Step 2: even a bystander at the edge, and a box that moves too far to be linked."""
    frames = [[MIDDLE, box(900 - 300 * t, 270, 0.96)] for t in range(3)]
    assert centres(boxes_of(*frames, rules=rules)) == [900, 600, 300]
    # a score of 0.95 is not above it: no easy case, and no tracklet of six boxes
    exact = video(*frames, [MIDDLE])
    exact[-1][0, 4] = 0.95
    assert not person_boxes(exact, picture=PICTURE, rules=rules).any()


@BOTH
def test_scores_up_to_a_half_are_no_detections(rules: BoxRules) -> None:
    """Two tracklets in front of the person would be innermost otherwise."""
    frames = [[box(480, 270, 0.5), box(700, 270, 0.6)] for _ in range(10)]
    assert centres(boxes_of(*frames, rules=rules)) == [700.0] * 10


@BOTH
def test_boxes_are_linked_by_overlap_to_the_newest_tracklet(rules: BoxRules) -> None:
    """Step 3: a shift of a quarter of the width has IoU 75 / 125 = 0.6, enough; more is not."""
    linked = boxes_of(*[[box(300 + 25 * t, 270)] for t in range(6)], [], rules=rules)
    assert centres(linked) == [300.0, 325, 350, 375, 400, 425, 425]
    assert not boxes_of(*[[box(300 + 26 * t, 270)] for t in range(6)], [], rules=rules).any()


def test_a_tracklet_ends_after_ten_misses() -> None:
    """Step 3: the misses count from its first frame on, not in a row."""
    on, off = [MIDDLE], []
    nine = [on] * 3 + [off] * 9 + [on] * 3  # 12 - 0 - 3 = 9 < 10: one tracklet of six
    assert boxes_of(*nine).all()
    ten = [on] * 3 + [off] * 10 + [on] * 3
    assert not boxes_of(*ten).any()
    split = [on, off, off] * 5 + [off] + [on]  # 16 - 0 - 5 = 11
    assert not boxes_of(*split).any()


@BOTH
def test_two_boxes_of_a_frame_never_share_a_tracklet(rules: BoxRules) -> None:
    """Step 3: two that overlap stay two, and the first takes the newest tracklet that fits.

    In frame 1 the left box continues the tracklet that the right one has begun, and the other way
    round; later each overlaps itself most, but it is the order that says who is looked at first.
    """
    left, right = box(480, 270), box(500, 270)  # IoU 80 / 120, and 0.8 of each inside the other
    boxes = boxes_of(*[[left, right]] * 8, [], rules=rules)
    assert centres(boxes) == [500.0] + [480.0] * 8  # right, left, left, …: the nearer in the mean


@BOTH
def test_short_and_small_tracklets_are_nobody(rules: BoxRules) -> None:
    """Step 4: five boxes are too few, 5000 square pixels too small."""
    assert not boxes_of(*[[MIDDLE]] * 5, rules=rules).any()
    assert boxes_of(*[[MIDDLE]] * 6, rules=rules).all()
    small, enough = box(480, 270, width=50, height=100), box(480, 270, width=50, height=101)
    assert not boxes_of(*[[small]] * 6, rules=rules).any()
    assert boxes_of(*[[enough]] * 6, rules=rules).all()
    assert boxes_of(*[[small]] * 5, [enough], rules=rules).all()  # the mean is what counts


WALK = [[], [], *[[box(300 + 10 * t, 270)] for t in range(4)], [], [], [],
        *[[box(340 + 10 * t, 270)] for t in range(4)], []]  # fmt: skip


def test_gaps_of_a_lone_tracklet_have_the_nearest_box() -> None:
    """Step 5, sound: of two equally near frames the earlier one."""
    expected = [300.0, 300, 300, 310, 320, 330, 330, 330, 340, 340, 350, 360, 370, 370]
    assert centres(boxes_of(*WALK)) == expected


def test_gaps_of_a_lone_tracklet_had_the_last_box_as_published() -> None:
    """Step 5, defect: the person is where it will be at the end, long before."""
    expected = [370.0, 370, 300, 310, 320, 330, 370, 370, 370, 340, 350, 360, 370, 370]
    assert centres(boxes_of(*WALK, rules=AS_PUBLISHED)) == expected


@BOTH
def test_the_innermost_tracklet_comes_first(rules: BoxRules) -> None:
    """Step 6: the outer ones fill what is left, where they are near enough."""
    inner, outer, far = box(480, 330), box(480, 170), box(480, 391)  # 60, 100, 121 px away
    frames = [[outer]] * 3 + [[inner, outer, far]] * 9 + [[far]] * 4 + [[], []]
    boxes = boxes_of(*frames, rules=rules)
    # 9 of 18 frames make the inner one long: the limit is 120 px. The last 6 frames, where only
    # the far one is, copy the nearest filled frame, the last with the inner one
    assert (boxes[:, 1] + 100).tolist() == [170.0] * 3 + [330.0] * 15


@BOTH
def test_what_is_within_fifty_pixels_is_near(rules: BoxRules) -> None:
    """Step 6: twice the distance of a person in the centre would be nothing."""
    inner, outer = box(480, 270), box(480, 319)
    frames = [[inner]] * 10 + [[outer]] * 6  # IoU 151 / 249 = 0.606: links to the inner one
    assert boxes_of(*frames, rules=rules).all()
    apart = [[box(480, 270, width=80)]] * 10 + [[box(528, 270, width=80)]] * 6
    assert centres(boxes_of(*apart, rules=rules)) == [480.0] * 10 + [528.0] * 6
    apart = [[box(480, 270, width=80)]] * 10 + [[box(530, 270, width=80)]] * 6
    assert centres(boxes_of(*apart, rules=rules)) == [480.0] * 16


@BOTH
def test_without_a_long_tracklet_all_are_near(rules: BoxRules) -> None:
    """Step 6: six boxes of 18 frames are not half of them."""
    inner, far = box(480, 330), box(100, 270)
    frames = [[inner]] * 6 + [[], []] + [[far]] * 6 + [[]] * 4
    boxes = centres(boxes_of(*frames, rules=rules))
    assert boxes == [480.0] * 7 + [100.0] * 11


@BOTH
def test_of_equally_near_frames_the_one_filled_first_is_copied(rules: BoxRules) -> None:
    """Step 6: the inner tracklet is filled first, though it is later in the video."""
    inner, outer = box(480, 330), box(100, 270)
    frames = [[outer]] * 6 + [[]] + [[inner]] * 6 + [[]] * 6
    assert centres(boxes_of(*frames, rules=rules)) == [100.0] * 6 + [480.0] * 13


def test_distances_are_from_the_centre_of_the_picture() -> None:
    """Step 6, defect: in pictures of 640 x 480 the published centre is at the right edge."""
    actor, bystander = box(320, 240), box(500, 260)
    frames = video(*[[actor, bystander]] * 10)
    picture = (480, 640)
    assert centres(person_boxes(frames, picture=picture)) == [320.0] * 10
    published = person_boxes(frames, picture=picture, rules=AS_PUBLISHED)
    assert centres(published) == [500.0] * 10


@BOTH
def test_boxes_without_area_are_guarded(rules: BoxRules) -> None:
    """Boxes of no area, alone, in pairs and beside a person, are nobody and warn of nothing."""
    flat, point = box(480, 270, width=0), box(480, 270, width=0, height=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not boxes_of(*[[point]] * 8, rules=rules).any()
        assert not boxes_of(*[[flat, flat, point, point]] * 8, rules=rules).any()
        assert centres(boxes_of(*[[flat, box(400, 270), point]] * 8, rules=rules)) == [400.0] * 8


@BOTH
def test_one_box_for_every_frame_in_the_shape_it_is_kept(rules: BoxRules) -> None:
    """Step 7, with nobody and with no frames too."""
    for count in (0, 1, 4):
        boxes = boxes_of(*[[]] * count, rules=rules)
        assert boxes.shape == (count, 5) and boxes.dtype == np.float32 and not boxes.any()
    assert person_boxes([[], []], picture=PICTURE).shape == (2, 5)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="reshape"):
        person_boxes([np.zeros((2, 4))], picture=PICTURE)


def test_the_sound_rules_are_the_default() -> None:
    assert centres(boxes_of(*WALK)) != centres(boxes_of(*WALK, rules=AS_PUBLISHED))
    np.testing.assert_array_equal(
        person_boxes(video(*WALK), picture=PICTURE), boxes_of(*WALK, rules=SOUND)
    )


def scene(random: np.random.Generator) -> tuple[list[list[Box]], int, int]:
    """Persons that cross, come and go, parts and points; few values, so that ties are many."""
    height, width = ((540, 960), (480, 640), (100, 100))[random.integers(3)]
    count = int(random.integers(1, 40))
    scores = ((0.99,), (0.5, 0.6, 0.9, 0.96), (0.9, 0.96, 0.99))[random.integers(3)]
    missing = random.choice([0, 0.1, 0.5])
    frames: list[list[Box]] = [[] for _ in range(count)]
    for _ in range(random.integers(0, 5)):
        x, y = random.integers(0, width // 10) * 10, random.integers(0, height // 10) * 10
        wide, high = random.choice([0, 50, 80, 100, 100]), random.choice([0, 101, 100, 200, 200])
        speed = random.choice([-30, -10, 0, 0, 10, 20])
        for t in range(random.choice([0, random.integers(count)]), count):
            if random.random() < missing:
                continue
            left = int(x + speed * t + random.choice([0, 0, 2]))
            frames[t].append(Box(left, y, left + wide, y + high, random.choice(scores)))
            if random.random() < 0.1:  # a part of the person, or the same box once more
                below = y + high * random.choice([0.5, 1])
                frames[t].append(Box(left, y, left + wide, below, 0.9))
    return [[boxes[n] for n in random.permutation(len(boxes))] for boxes in frames], height, width


@pytest.mark.parametrize("published", [False, True])
def test_many_scenes_as_a_slow_reading_of_the_rules(published: bool) -> None:
    random, cases = np.random.default_rng(7), Counter[str]()
    for _ in range(700):
        frames, height, width = scene(random)
        case, expected = slow_person_boxes(frames, height, width, published=published)
        cases[case] += 1
        detections = [np.array(boxes, np.float64).reshape(-1, 5) for boxes in frames]
        boxes = person_boxes(
            detections, picture=(height, width), rules=AS_PUBLISHED if published else SOUND
        )
        np.testing.assert_array_equal(boxes, np.array(expected, np.float32), err_msg=f"{frames}")
    assert min(cases[case] for case in ("easy", "nobody", "one", "many")) > 10, cases

"""The RGB videos: the figure lies where the skeleton's bodies are, in whole files."""

import re
import subprocess
import sys
from itertools import islice, product

import numpy as np
import pytest

from skelray.datasets.nwucla.dataset import NWUCLA
from skelray.datasets.synthetic.camera import COLOR, Lens
from skelray.datasets.synthetic.dataset import MARKER_RGB, Synthetic
from skelray.datasets.synthetic.recordings import ROOM, members, record, true_bodies
from skelray.datasets.synthetic.room import background
from skelray.platform.errors import UsageError

av = pytest.importorskip("av", reason="PyAV is of the extra [video]")
pytest.importorskip("cv2", reason="OpenCV is of the extra [video]")

from skelray.datasets.synthetic import rendering  # noqa: E402

RECORDINGS = {recording.name: recording for recording in members("tiny")}
# one person before each of the cameras, and two
NAMES = tuple(
    next(name for name, r in RECORDINGS.items() if (r.camera, r.action) == chosen)
    for chosen in ((1, 2), (2, 9), (3, 11), (2, 15))
)
LENS = COLOR.resized(0.25, 0.25)
SIZE = (480, 270)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    raw = tmp_path_factory.mktemp("synthetic") / "tiny"
    Synthetic().generate(raw, size="tiny", seed=3)
    for name in NAMES:
        render(raw, name)
    return raw


def render(raw, name, **changes):
    return Synthetic().render(raw, name, **{"size": "tiny", "seed": 3, **changes})


def decoded(path):
    """(T, H, W, 3) uint8."""
    with av.open(path) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def drawn(pictures, recording, lens=LENS, seed=3):
    """(T, H, W) bool: where pictures before coding differ from the room: figures and shadows."""
    height, width = pictures.shape[1:3]
    room = background(
        lens,
        camera=recording.camera,
        setup=recording.setup,
        width=width,
        height=height,
        seed=(seed, ROOM, recording.setup),
    )
    above = pictures.astype(np.int16) - room
    return ((above < 0) | (above > 6)).any(axis=-1)  # 0 to 6: the sensor's noise


def pictures_of(recording, count=None, lens=LENS, size=SIZE):
    """(T, H, W, 3): the first pictures, or all, before coding."""
    frames = rendering.frames_of(recording, 3, lens=lens, width=size[0], height=size[1])
    return np.stack(list(islice(frames, count)))


def at(mask, pixels):
    """Share of the points (P, T, V, 2) inside the picture at which the mask (T, H, W) is set."""
    x, y = np.rint(np.moveaxis(pixels, -1, 0)).astype(int)
    inside = (x >= 0) & (y >= 0) & (x < mask.shape[2]) & (y < mask.shape[1])
    frame = np.broadcast_to(np.arange(len(mask))[:, None], x.shape)
    return mask[frame[inside], y[inside], x[inside]].mean()


@pytest.mark.parametrize("name", NAMES)
def test_the_figure_lies_under_the_joints(name):
    recording = RECORDINGS[name]
    pixels = LENS.project(true_bodies(recording, 3))
    mask = drawn(pictures_of(recording), recording)
    assert at(mask, pixels) > 0.97
    for aside in ((-70, 0), (70, 0), (0, -110)):  # not because it is everywhere
        assert at(mask, pixels + aside) < 0.2
    for t in range(
        len(mask)
    ):  # the figure ends where its joints do; its shadow is below and beside
        rows, columns = np.flatnonzero(mask[t].any(axis=1)), np.flatnonzero(mask[t].any(axis=0))
        (left, top), (right, bottom) = pixels[:, t].min(axis=(0, 1)), pixels[:, t].max(axis=(0, 1))
        assert top - 18 < rows[0] < top and bottom < rows[-1] < bottom + 16
        assert left - 16 < columns[0] < left and right < columns[-1] < right + 16


@pytest.mark.parametrize("name", NAMES)
def test_coding_leaves_everything_in_its_place(tiny, name):
    """Around the bodies a decoded picture fits the drawn one best where it is, to the pixel."""
    recording = RECORDINGS[name]
    pixels = LENS.project(true_bodies(recording, 3))
    drawings, pictures = pictures_of(recording), decoded(tiny / f"{name}_rgb.avi")
    assert drawings.shape == pictures.shape
    assert np.abs(drawings[::10].astype(int) - pictures[::10]).mean() < 6
    for t in range(0, len(drawings), 10):
        (left, top), (right, bottom) = (
            edge(pixels[:, t], axis=(0, 1)).astype(int) for edge in (np.min, np.max)
        )
        body = drawings[t, top:bottom, left:right].astype(int)
        misfit = {
            (down, across): np.abs(
                pictures[t, top + down : bottom + down, left + across : right + across] - body
            ).mean()
            for down, across in product((-1, 0, 1), repeat=2)
        }
        assert min(misfit, key=misfit.get) == (0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_has_the_frames_of_its_skeleton_file(tiny, name):
    items = {item.id: item for item in Synthetic().discover(tiny).items}
    (sample,) = Synthetic().read(items[name])
    assert sample.clip == str(tiny / f"{name}_rgb.avi")
    with av.open(sample.clip) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (*SIZE, 30)
        assert stream.codec_context.name == "mpeg4"
        assert sum(1 for _ in container.decode(video=0)) == sample.frames


def test_recordings_without_a_video_have_no_clip(tiny):
    others = [item for item in Synthetic().discover(tiny).items if item.id not in NAMES]
    assert len(others) == 60
    assert next(Synthetic().read(others[0])).clip is None


def test_who_the_tracker_loses_is_still_in_the_picture():
    late = next(r for r in members("small") if record(r, 3).listed[0] == ())
    mask = drawn(pictures_of(late, 1), late)
    assert at(mask, LENS.project(true_bodies(late, 3))[:, :1]) > 0.9


def test_any_lens_and_size_can_be_drawn():
    """640 x 480 as of a camera with another angle of view."""
    lens = Lens(520.0, 520.0, 319.5, 239.5)
    recording = RECORDINGS[NAMES[1]]
    pictures = pictures_of(recording, 3, lens, (640, 480))
    assert pictures.shape == (3, 480, 640, 3) and pictures.dtype == np.uint8
    mask = drawn(pictures, recording, lens)
    assert at(mask, lens.project(true_bodies(recording, 3))[:, :3]) > 0.95


def test_a_subject_wears_the_same_in_every_recording():
    """The shirt's colour in the first frame names the subject, whatever the action and camera."""
    spine = [1, 20]
    known, asked = {}, {}
    for recording in members("small"):
        if recording.replication == 1 and recording.action in (1, 13) and recording.camera > 1:
            (picture,) = pictures_of(recording, 1)
            x, y = (
                LENS.project(true_bodies(recording, 3))[0, 0, spine]
                .mean(axis=0)
                .round()
                .astype(int)
            )
            colour = np.median(picture[y - 3 : y + 4, x - 3 : x + 4], axis=(0, 1))
            colour /= colour.sum()  # whatever the light
            (known if recording.camera == 2 else asked)[recording.subject, recording.action] = (
                colour
            )
    right = [
        subject == min(known, key=lambda key: np.abs(known[key] - colour).sum())[0]
        for (subject, _), colour in asked.items()
    ]
    assert len(right) == 12 and sum(right) >= 9  # an arm may lie before the trunk


def test_rooms_differ_between_cameras_and_setups_and_are_static():
    def room(camera, setup):
        return background(
            LENS, camera=camera, setup=setup, width=480, height=270, seed=(3, ROOM, setup)
        ).astype(int)

    first = room(1, 33)
    assert np.abs(first - room(2, 33)).mean() > 10 and np.abs(first - room(1, 34)).mean() > 10
    assert first.std(axis=(0, 1)).min() > 20
    one, other = pictures_of(RECORDINGS[NAMES[0]], 2).astype(int)
    corner = np.abs(one - other)[:60, :60]
    assert corner.mean() > 1 and corner.max() <= 6  # the sensor's noise alone


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tiny, tmp_path):
    again = render(tmp_path / "again", NAMES[0])
    assert again.read_bytes() == (tiny / again.name).read_bytes()
    other = render(tmp_path / "other", NAMES[0], seed=4)
    assert other.read_bytes() != again.read_bytes()


def test_an_interrupted_video_leaves_nothing_and_is_drawn_again(tiny, tmp_path, monkeypatch):
    whole = rendering.frames_of

    def stopped(*arguments, **options):
        frames = whole(*arguments, **options)
        yield from (next(frames) for _ in range(5))
        raise KeyboardInterrupt

    monkeypatch.setattr(rendering, "frames_of", stopped)
    with pytest.raises(KeyboardInterrupt):
        render(tmp_path, NAMES[0])
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["synthetic.json", MARKER_RGB]
    path = render(tmp_path, NAMES[0])
    assert path.read_bytes() == (tiny / path.name).read_bytes()
    monkeypatch.setattr(rendering, "frames_of", None)
    assert render(tmp_path, NAMES[0]) == path  # kept


def test_the_height_is_a_parameter(tmp_path):
    path = render(tmp_path, NAMES[0], height=136)
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (242, 136)


def refused(message):
    return pytest.raises(UsageError, match=re.escape(message) + "[^\n]*$")


def test_wrong_use_is_refused_in_one_line(tiny, tmp_path):
    for name in ("S033C003P001R002A001", "nonsense"):
        with refused(f"synthetic of size 'tiny' has no recording {name!r}"):
            render(tiny, name)
    for height in (271, 62, 0, 4320):
        with refused(f"height {height} of a video: choose an even one from 64 to 2160"):
            render(tiny, NAMES[0], height=height)
    with refused("holds another set (height 270 instead of 360): delete it or"):
        render(tiny, NAMES[0], height=360)
    with refused("another set (seed 3 instead of 4)"):
        render(tiny, NAMES[0], seed=4)
    (tmp_path / "S033C001P001R002A001_rgb.avi").touch()
    with refused(f"holds recordings but no {MARKER_RGB}"):
        render(tmp_path, NAMES[0])
    with refused("data set nwucla draws no videos: "):
        NWUCLA().render(tmp_path, "a", size="", seed=0)


@pytest.mark.parametrize("library", ["cv2", "av"])
def test_a_missing_library_is_one_line_that_says_how_to_get_it(library, tmp_path, monkeypatch):
    for name in ("skelray.datasets.synthetic.rendering", "skelray.platform.video.writing"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with refused(f"videos need the library {library}: pip install 'skelray[video]'"):
        render(tmp_path, NAMES[0])
    assert not list(tmp_path.glob("*.avi"))


def test_skeletons_alone_load_no_video_library():
    code = (
        "import sys, skelray.datasets.synthetic.dataset\nprint(*{'cv2', 'av'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""

"""The example of docs/adding-a-data-set.md does what the page says, from files to a trained run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import skelray
from skelray.platform import registry
from skelray.platform.config import RunConfig, resolve
from skelray.platform.data import caching
from skelray.platform.data.cache import cache_path
from skelray.platform.data.parts import Part
from skelray.platform.data.source import Source, store_path
from skelray.platform.data.store import (
    MANIFEST,
    SPLITS,
    VERSION,
    Store,
    check_sample,
    meaning,
    write_shard,
)
from skelray.platform.dataset import Dataset, SkeletonSample
from skelray.platform.errors import DataError, UsageError
from skelray.platform.evaluation import evaluate, table
from skelray.platform.importing.table import COLUMNS
from skelray.platform.skeleton.spec import SkeletonSpec
from skelray.platform.template import new_dataset
from skelray.platform.training.build import build_method
from skelray.platform.training.job import training_loop
from skelray.platform.training.metrics import MetricsFile
from skelray.platform.validation import check_raw

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "adding-a-data-set.md"
TEXT = PAGE.read_text(encoding="utf-8")

# A path in backticks, alone in its line, and the block that is this file.
BLOCKS = dict(re.findall(r"^`([\w/.]+)`:\n\n```\w+\n(.*?)^```$", TEXT, re.M | re.S))
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```$", TEXT, re.M | re.S)).splitlines()

SMALL = ("method.channels=4", "method.feature_dim=16", "method.projection_dim=8",
         "method.frames=16", "method.batch=4", "method.queue=8", "method.epochs=2")  # fmt: skip


@pytest.fixture
def gestures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Dataset]]:
    """The page's folder in a checkout, and an empty SKELRAY_HOME."""
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path / "home"))
    for path, text in BLOCKS.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    monkeypatch.setattr(skelray, "__path__", [*skelray.__path__, str(tmp_path)])
    registry._plugins.cache_clear()
    yield registry.load_dataset("gestures")
    registry._plugins.cache_clear()
    ours = ("skelray.datasets.gestures", "skelray.datasets.holidays")
    for name in [name for name in sys.modules if name.startswith(ours)]:
        del sys.modules[name]


def moving(seed: int) -> np.ndarray:
    """(20, 10, 3): an upper body whose right hand goes up."""
    random = np.random.default_rng(seed)
    height = np.array([0, 0.3, 0.5, 0.7, 0.5, 0.2, 0.0, 0.5, 0.2, 0.0])
    side = np.array([0, 0, 0, 0, 0.2, 0.25, 0.3, -0.2, -0.25, -0.3])
    body = np.stack([side, height, np.full(10, 2.0)], axis=-1) + np.zeros((20, 1, 1))
    body[:, 9, 1] += np.linspace(0, 0.2 + 0.3 * random.random(), 20)
    return body + 0.002 * random.normal(size=body.shape)


def write_recordings(folder: Path, *, labelled: bool) -> None:
    """Twelve recordings of six subjects as the page's table would list them."""
    folder.mkdir()
    rows = ["id,label,subject"]
    for number in range(12):
        np.save(folder / f"r{number}.npy", moving(number))
        rows.append(f"r{number},{('wave', 'point')[number % 2]},{number // 2 + 1}")
    if labelled:
        (folder / "recordings.csv").write_text("\n".join(rows))


def write_by_formats(folder: Path) -> dict[str, np.ndarray]:
    """The recordings of the page's table, each in another format; what each of them holds."""
    folder.mkdir()
    (folder / "recordings.csv").write_text(BLOCKS["recordings.csv"])
    held = {name: np.float32(moving(seed)) for seed, name in enumerate(listed())}
    anna_1, anna_2, bert_1, bert_2, carl_1 = held.values()
    np.save(folder / "anna_1.npy", np.stack([anna_1, np.zeros_like(anna_1)], axis=1))
    np.savez(folder / "anna_2.npz", xyz=anna_2, score=np.full((20, 10), 0.5))
    (folder / "bert_1.json").write_text(json.dumps({"keypoints": bert_1.tolist()}))
    np.savetxt(folder / "bert_2.csv", bert_2.reshape(20, 30), delimiter=",", fmt="%.9g")
    names = [f"{joint}_{axis}" for joint in upper_body().joints for axis in "xyz"]
    header = ",".join(["frame", *reversed(names)])
    rows = np.column_stack([np.arange(20), carl_1.reshape(20, 30)[:, ::-1]])
    formats = ["%d", *["%.9g"] * 30]
    np.savetxt(folder / "carl_1.csv", rows, delimiter=",", fmt=formats, header=header, comments="")
    return held


def listed() -> list[str]:
    return [line.split(",")[0] for line in BLOCKS["recordings.csv"].splitlines()[1:]]


def upper_body() -> SkeletonSpec:
    return registry.load_dataset("gestures").skeleton


def samples(dataset: type[Dataset], raw: Path) -> list[SkeletonSample]:
    found = dataset().discover(raw)
    read = [sample for item in found.items for sample in dataset().read(item)]
    for sample in read:
        check_sample(sample, dataset)
    return read


def write_store(dataset: type[Dataset], raw: Path) -> Store:
    """What `prepare` makes, in one shard and without Ray."""
    path = store_path(dataset, "")
    path.mkdir(parents=True)
    rows, digest = write_shard(path / "part-00000.parquet", samples(dataset, raw))
    shard = {"file": "part-00000.parquet", "rows": rows, "sha256": digest}
    manifest = {"version": VERSION, "samples": rows, "shards": [shard], "data_version": digest[:16]}
    (path / MANIFEST).write_text(json.dumps(manifest | {"skipped": {}} | meaning(dataset)))
    (path / SPLITS).write_text(json.dumps(dataset().discover(raw).splits))
    return Store.open(path)


def build_caches(config: RunConfig, source: Source) -> None:
    """What `caching.build` makes, without Ray."""
    method = build_method(config, source.spec)
    for preprocessing in method.inputs("joint").skeletons.values():
        target = cache_path(source.store, preprocessing)
        target.mkdir(parents=True)
        part = target / "part-00000.arrow"
        caching._write_part(source.store.shards[0], source.dataset, preprocessing, part)
        caching._merge([part], target)


def ids(source: Source, index: dict[str, np.ndarray], part: Part) -> list[str]:
    return index["id"][source.rows(index, part)].tolist()


def test_every_format_of_the_page_gives_what_was_written(
    gestures: type[Dataset], tmp_path: Path
) -> None:
    held = write_by_formats(tmp_path / "raw")
    found = gestures().discover(tmp_path / "raw")
    assert not found.skipped
    read = {sample.id: sample for sample in samples(gestures, tmp_path / "raw")}
    assert read.keys() == held.keys()
    for name, xyz in held.items():
        np.testing.assert_array_equal(read[name].xyz, xyz)
        assert read[name].frame_bodies.tolist() == [1] * 20 and read[name].fps == 30.0
    labels = [read[name].label for name in held]
    assert labels == [0, 1, 0, 1, None]  # by name, by name, by name, by number, none
    assert [read[name].subject for name in held] == [1, 1, 2, 2, 5]
    assert found.splits["seen"] == {"train": ["anna_1", "bert_1"], "test": ["anna_2"]}
    assert read["anna_2"].score is not None and read["anna_2"].score.shape == (20, 10)


def test_videos_alone_are_recordings(gestures: type[Dataset], tmp_path: Path) -> None:
    pytest.importorskip("av", reason="PyAV is of the extra [video]")
    from skelray.platform.video.writing import write_video

    holidays = registry.load_dataset("holidays")
    picture = np.zeros((1, 32, 32, 3), np.uint8)
    write_video(tmp_path / "videos/beach_rgb.avi", picture, rate=25, codec="mpeg4")
    (tmp_path / "videos/recordings.csv").write_text("id,label\nbeach,swim\n")
    (sample,) = samples(holidays, tmp_path / "videos")
    assert (sample.id, sample.label, sample.frames, len(sample.xyz)) == ("beach", 0, 1, 0)
    assert sample.clip == str(tmp_path / "videos/beach_rgb.avi")


def test_the_page_names_every_column() -> None:
    for column in COLUMNS:
        assert re.search(rf"^\|.*`{column}`", TEXT, re.M), column


def test_the_check_finds_what_the_page_promises(gestures: type[Dataset], tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_recordings(raw, labelled=True)
    assert list(check_raw(gestures, raw).lines()) == []
    np.save(raw / "r0.npy", moving(0)[:, :9])
    np.save(raw / "r1.npy", moving(1) * np.where(np.arange(20) < 9, 1, -1)[:, None, None])
    np.save(raw / "r2.npy", moving(3))
    with (raw / "recordings.csv").open("a") as table_file:
        table_file.write("\nr12,jump,1\n")
    np.save(raw / "r12.npy", moving(12))
    heads = [line for line in check_raw(gestures, raw).lines() if not line.startswith(" ")]
    assert [head.partition(" (")[0] for head in heads] == [
        "error: recordings that cannot be read",
        "warning: recordings in which a person jumps",
        "warning: recordings with the coordinates of another",
    ]
    for number in range(12):
        np.save(raw / f"r{number}.npy", moving(number) * 1000)
    lines = "\n".join(check_raw(gestures, raw).lines())
    assert "the numbers look like millimetre" in lines


def test_splits_are_found_by_the_names_of_the_page(gestures: type[Dataset], tmp_path: Path) -> None:
    write_recordings(tmp_path / "raw", labelled=True)
    rows = (tmp_path / "raw/recordings.csv").read_text().splitlines()
    values = ["split_seen", *["train"] * 6, *["test"] * 3, *[""] * 3]
    table_text = "\n".join(f"{row},{value}" for row, value in zip(rows, values, strict=True))
    (tmp_path / "raw/recordings.csv").write_text(table_text)
    store = write_store(gestures, tmp_path / "raw")
    names = sorted(f"r{number}" for number in range(12))
    index = {"id": np.array(names), "subject": np.array([int(n[1:]) // 2 + 1 for n in names])}

    def split(name: str) -> Source:
        return Source.open(resolve("skeletonclr", "nwucla", [*OURS, f"data.protocol={name}"]).data)

    assert ids(split("xsub"), index, "test") == ["r10", "r11", "r8", "r9"]
    assert ids(split("xsub"), index, "holdout") == ["r6", "r7"]
    assert ids(split("loso5"), index, "test") == ["r8", "r9"]
    assert len(ids(split("loso5"), index, "train")) == 10
    assert ids(split("seen"), index, "train") == [f"r{number}" for number in range(6)]
    assert ids(split("Seen"), index, "test") == ["r6", "r7", "r8"]
    assert ids(split("all"), index, "train") == names
    with pytest.raises(DataError, match="part test of protocol all is empty"):
        ids(split("all"), index, "test")
    with pytest.raises(UsageError, match="loso9: gestures has no subject 9, it has 1, 2, 3, 4, 5"):
        split("loso9")
    with pytest.raises(UsageError, match="no protocol 'xview': choose one of xsub, all, seen, lo"):
        split("xview")
    assert store.manifest["samples"] == 12


OURS = ("data.dataset=gestures", "preset=''", *SMALL)


def test_recordings_without_labels_pretrain_and_nothing_is_measured(
    gestures: type[Dataset], tmp_path: Path
) -> None:
    write_recordings(tmp_path / "raw", labelled=False)
    write_store(gestures, tmp_path / "raw")
    config = resolve("skeletonclr", "nwucla", [*OURS, "data.protocol=all"])
    source = Source.open(config.data)
    build_caches(config, source)
    run = tmp_path / "run"
    training_loop(config, run, origin={}).run()
    losses = [r["metrics"]["train/loss"] for r in MetricsFile(run / "metrics.jsonl").read()]
    assert losses and np.isfinite(losses).all()
    (last,) = sorted((run / "checkpoints").glob("step-*"))[-1:]
    evaluation = evaluate(config, source, last, run)
    assert evaluation.figures == {} and set(evaluation.files) == {"curves"}
    said = "nothing is measured: no recording of part train nor test has a label"
    assert table(evaluation).splitlines()[-1] == said
    before, after = said.replace("train nor test", "…").split("…")
    assert f"`{before}… {after.strip()}`" in TEXT.replace("\n", " ")


def test_the_template_writes_what_the_page_shows(tmp_path: Path) -> None:
    new_dataset("gestures", skeleton="kinect_v1", into=tmp_path)
    written = tomllib.loads((tmp_path / "skelray-gestures/pyproject.toml").read_text())
    (shown,) = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.M | re.S)
    entries = tomllib.loads(shown)["project"]["entry-points"]
    assert written["project"]["entry-points"] == entries


def test_the_example_is_forty_lines_and_passes_lint(tmp_path: Path) -> None:
    example = BLOCKS["datasets/gestures/gestures.py"]
    assert len([line for line in example.splitlines() if line]) <= 45
    for path in [path for path in BLOCKS if path.endswith(".py")]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(BLOCKS[path], encoding="utf-8")
    for verb in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *verb, "--no-cache"]
        settings = ["--config", str(ROOT / "pyproject.toml"), "datasets"]
        done = subprocess.run([*command, *settings], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_commands_of_the_page(gestures: type[Dataset], tmp_path: Path) -> None:
    """One after another as a user gives them, in a checkout that has the page's folder."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("platform", "methods", "experiments"):
        (checkout / name).symlink_to(ROOT / name)
    (checkout / "datasets").symlink_to(tmp_path / "datasets")
    (checkout / "skelray").mkdir()
    (checkout / "skelray/__init__.py").write_text((ROOT / "skelray/__init__.py").read_text())
    for name in ("platform", "methods", "experiments", "datasets"):
        (checkout / "skelray" / name).symlink_to(Path("..", name))
    raw = tmp_path / "raw"
    write_recordings(raw, labelled=True)
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    assert len(COMMANDS) == 5
    said = []
    for command in COMMANDS:
        program, *arguments = shlex.split(command.replace("FOLDER", str(raw)))
        assert program == "skelray"
        if arguments[0] == "run":
            arguments += [*SMALL, "evaluation.linear=[fast]", "evaluation.knn=[1]"]
        code = f"from skelray.platform.cli import main; main({arguments!r})"
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        said.append(done.stdout)
    assert said[0] == "gestures: no errors, 0 warnings\n"
    assert said[1].startswith("12 recordings in ")
    assert said[2].startswith("gestures: 12 recordings, 0 skipped")
    assert "8 training and 4 test recordings of 2 classes" in said[3]
    assert "nothing is measured: no recording of part test has a label" in said[4]

"""The whole evaluation on a small data set: Ray's actor pool once, then from its cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import ray
import torch

from skelray.platform import paths
from skelray.platform.config import RunConfig
from skelray.platform.data.source import Source
from skelray.platform.dataset import Protocol
from skelray.platform.errors import DataError, UsageError
from skelray.platform.evaluation import Evaluation, evaluate, probes, table
from skelray.platform.evaluation.ensemble import Member, accuracies
from skelray.platform.evaluation.features import Features, extract, part_views, raw_features
from skelray.platform.evaluation.plan import Plan
from skelray.platform.training import checkpoint
from skelray.platform.training.build import build_method, load_method
from skelray.platform.training.job import description
from skelray.platform.training.metrics import MetricsFile

OUTPUTS = ("joint", "motion")


@pytest.fixture
def local_ray(plugin: Path, home: Path) -> Iterator[None]:
    environment = {"SKELRAY_HOME": str(home), "PYTHONPATH": str(plugin)}
    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": environment})
    yield
    ray.shutdown()


def direct(method: torch.nn.Module, source: Source, output: str, part: str) -> np.ndarray:
    """Features without Ray and without a cache."""
    pieces = [
        method.eval().features(views, [output])[output].detach()
        for views in part_views(source, method, output, part, batch=1000)
    ]
    return torch.cat(pieces).numpy()


def test_evaluation_from_checkpoint_to_table(
    local_ray: None,
    config: RunConfig,
    source: Source,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "run"
    metrics = MetricsFile(folder / "metrics.jsonl")
    for step in range(5):
        metrics.append(step, {"train/loss": 5.0 - step, "train/lr": 0.1}, phase="pretrain")
    check_extraction(config, source, trained)
    check_leaking_method_is_refused(config, source, tmp_path)

    evaluation = evaluate(config, source, trained, folder)
    rows = ("eval", "eval/motion", "baseline/random", "baseline/random/motion", "baseline/raw")
    both, all_three = ("top1", "mean_class"), ("top1", "top5", "mean_class")
    knn = {f"{row}/knn{k}/{name}" for row in rows for k in (1, 5) for name in both}
    fast = {f"{row}/linear_fast/{name}" for row in rows for name in (*all_three, "lr")}
    published = {f"{r}/linear/{n}" for r in rows[:4] for n in (*all_three, "top1_best")}
    unlearnt = (
        *("cluster/nmi", "cluster/ari", "cluster/accuracy"),
        *("retrieval/map", "retrieval/r1", "retrieval/r5", "retrieval/r10"),
        *("repr/rankme", "repr/uniformity", "repr/std"),
    )
    further = {f"{row}/{name}" for row in rows[:4] for name in unlearnt}
    assert evaluation.figures.keys() == knn | fast | published | further
    for row in rows[:2]:
        nearest = evaluation.figures[f"{row}/retrieval/r1"]
        assert nearest == pytest.approx(evaluation.figures[f"{row}/knn1/top1"])
    assert evaluation.figures["baseline/raw/linear_fast/top1"] > 60
    assert evaluation.figures["eval/linear/top1"] > 40
    assert [picture.stem for picture in evaluation.pictures] == [
        *("curves", "eval-confusion", "eval-motion-confusion", "eval-motion-tsne", "eval-tsne")
    ]
    assert all(picture.exists() for picture in evaluation.pictures)
    assert evaluation.path == folder / "evaluations" / "step-00000007.json"
    assert json.loads(evaluation.path.read_text())["figures"] == evaluation.figures
    check_scores(evaluation, folder)
    text = table(evaluation)
    assert "protocol xsub, step 7\n123 training and 83 test recordings of 6 classes" in text

    ray.shutdown()  # all that follows reads caches
    check_only_what_is_missing_runs(config, source, trained, evaluation, monkeypatch)


def check_scores(evaluation: Evaluation, folder: Path) -> None:
    """What late fusion reads belongs to the recordings named, and gives the same figures."""
    for output, row in (("joint", "eval"), ("motion", "eval/motion")):
        for recipe in ("linear", "linear_fast"):
            member = Member.open(folder, output, recipe)
            for name, value in accuracies(member.scores).items():
                assert value == evaluation.figures[f"{row}/{recipe}/{name}"]
            numbers = [int(name.removeprefix("r")) for name in member.scores.id]
            assert numbers == sorted(numbers) and len(numbers) == evaluation.about["test"]


def check_extraction(config: RunConfig, source: Source, trained: Path) -> None:
    found = extract(trained, source, ("train", "test"), outputs=OUTPUTS, batch=32, workers=2)
    method = load_method(trained)
    for part, features in found.items():
        assert len(features) == {"train": 144, "test": 96}[part]
        assert list(features.id[:2]) == {"train": ["r000", "r001"], "test": ["r003", "r004"]}[part]
        for output in OUTPUTS:
            expected = direct(method, source, output, part)
            np.testing.assert_allclose(features.values[output], expected, atol=1e-5)
    files = list((paths.caches() / "features").iterdir())
    assert len(files) == 4 and all(file.suffix == ".parquet" for file in files)


def check_leaking_method_is_refused(config: RunConfig, source: Source, folder: Path) -> None:
    tree = config.model_dump(mode="json")
    tree["method"]["leak"] = True
    leaking = type(config).model_validate({**tree, "method": type(config.method)(leak=True)})
    method = build_method(leaking, source.spec)
    about = {**description(leaking, source, method), "step": 0, "finished": True}
    saved = checkpoint.save(
        folder / "leak", state={"method": method.state_dict()}, about=about, keep=1
    )
    with pytest.raises(RuntimeError, match="Means changed its parameters or buffers"):
        extract(saved.path, source, ("test",), outputs=("joint",), batch=96, workers=1)


def check_only_what_is_missing_runs(
    config: RunConfig,
    source: Source,
    trained: Path,
    done: Evaluation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("measured again")

    tree = json.loads(done.path.read_text())
    del tree["figures"]["eval/motion/knn5/top1"]
    done.path.write_text(json.dumps(tree))
    for name in ("published_linear", "fast_linear"):
        monkeypatch.setattr(probes, name, refuse)
    monkeypatch.setattr(probes.pictures, "tsne", refuse)
    again = evaluate(config, source, trained, done.path.parents[1])
    assert again.figures == done.figures
    assert not ray.is_initialized()

    (done.folder / "eval-tsne.png").unlink()
    with pytest.raises(AssertionError, match="measured again"):
        evaluate(config, source, trained, done.path.parents[1])


def test_raw_features_are_the_coordinates(config: RunConfig, source: Source) -> None:
    method = build_method(config, source.spec)
    raw = raw_features(source, method, "test")
    cache = next(iter(source.caches(method.inputs("joint")).values()))
    rows = source.rows(cache.index, "test")
    first = cache.frames[rows[0] * 4 : rows[0] * 4 + 4]  # (T, M, V, C)
    assert raw.values["raw"].shape == (96, 4 * 20 * 3)
    np.testing.assert_array_equal(raw.values["raw"][0], first.transpose(3, 0, 2, 1).ravel())
    labelled = raw.labelled("raw")
    assert len(labelled) == 83 and int(labelled.label.min()) >= 0


def unlabel(source: Source, config: RunConfig, rows: slice) -> None:
    """Takes the labels of these recordings away, in the cache."""
    (cache,) = source.caches(build_method(config, source.spec).inputs("joint")).values()
    file = cache.path / "index.arrow"
    index = pa.ipc.open_file(file.read_bytes()).read_all()
    label = index.column("label").to_numpy().copy()
    label[rows] = -1
    column = index.schema.get_field_index("label")
    index = index.set_column(column, "label", pa.array(label))
    with pa.ipc.new_file(str(file), index.schema) as writer:
        writer.write_table(index)


PAIRS = Protocol(
    "pairs",
    "id",
    train=frozenset(f"r{number:03d}" for number in range(100)),
    holdout=frozenset({"r003", "r013", "r020"}),  # r013 and r020 have no label
    test=frozenset(f"r{number:03d}" for number in range(100, 130)),
    holdout_field="id",
)


@pytest.mark.parametrize(
    ("rows", "test", "said"),
    [
        (slice(None), PAIRS.test, "of part train nor test has a label"),
        (slice(100, None), PAIRS.test, "of part test has a label"),
        (slice(0), frozenset(), "of part test has a label"),
    ],
    ids=["no labels", "none to test on", "no test part"],
)
def test_without_labels_there_are_no_figures(
    config: RunConfig,
    source: Source,
    trained: Path,
    rows: slice,
    test: frozenset[str],
    said: str,
) -> None:
    unlabel(source, config, rows)
    split = replace(source, protocol=replace(PAIRS, test=test))
    evaluation = evaluate(config, split, trained, trained.parents[1])
    assert evaluation.figures == {} and evaluation.pictures == []
    assert evaluation.path.exists() and not ray.is_initialized()
    assert table(evaluation).splitlines()[-1] == f"nothing is measured: no recording {said}"


def test_only_labelled_recordings_are_probed_and_held_out(
    config: RunConfig, source: Source, trained: Path
) -> None:
    split = replace(source, protocol=PAIRS)
    published = config.evaluation.model_copy(update={"linear": ("published",)})
    config = config.model_copy(update={"evaluation": published})
    plan = Plan(config, split, trained, trained.parents[1])
    method = build_method(config, source.spec)
    parts = {part: raw_features(split, method, part) for part in ("train", "test")}
    found = plan.split(parts, "raw")
    assert len(found.train) == 100 - 14 and len(found.test) == 30 - 4  # every seventh has none
    labelled = parts["train"].id[parts["train"].label >= 0]
    assert labelled[found.holdout.numpy()].tolist() == ["r003"]
    assert plan.about()["train"] == 86 and plan.about()["test"] == 26


def test_a_part_without_labels_is_an_error() -> None:
    none = np.full(3, -1)
    part = Features(
        id=np.array(["a", "b", "c"]),
        values={"x": np.zeros((3, 2), np.float32)},
        label=none,
        subject=none,
        camera=none,
    )
    with pytest.raises(DataError, match="no recording of this part has a label"):
        part.labelled("x")


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ({"outputs": ("joints",)}, "no output 'joints': did you mean 'joint'"),
        ({"linear": ("publishd",)}, "did you mean 'published'"),
    ],
)
def test_unknown_names_are_refused_before_anything_runs(
    config: RunConfig, source: Source, trained: Path, evaluation: dict[str, object], message: str
) -> None:
    asked = config.evaluation.model_copy(update=evaluation)
    with pytest.raises(UsageError, match=message):
        evaluate(config.model_copy(update={"evaluation": asked}), source, trained, trained)


def test_figures_of_other_weights_are_not_kept(tmp_path: Path) -> None:
    path, about = tmp_path / "step-1.json", {"checkpoint_hash": "a", "first_output": "joint"}
    Evaluation(path, about, {"eval/knn1/top1": 50.0}).save()
    assert Evaluation.open(path, about).figures == {"eval/knn1/top1": 50.0}
    assert Evaluation.open(path, about | {"checkpoint_hash": "b"}).figures == {}
    # the first output's figures go without its name
    assert Evaluation.open(path, about | {"first_output": "joint-motion"}).figures == {}
    path.write_text("{")
    with pytest.raises(DataError, match="is damaged: delete it"):
        Evaluation.open(path, about)

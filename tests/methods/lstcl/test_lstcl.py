"""The whole method: its phases, what moves in them, and two processes as one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from skelray.methods.lstcl.config import LSTCLConfig
from skelray.methods.lstcl.links import off_diagonal, on_grid
from skelray.methods.lstcl.lstcl import LSTCL
from skelray.methods.lstcl.video import (
    ORDERS,
    augment_pose,
    draw_orders,
    pixels_as_coded,
    rotations,
)
from skelray.platform import registry
from skelray.platform.errors import UsageError
from skelray.platform.method import DataSpec, Draws, Method, key_of
from skelray.platform.skeleton.specs import KINECT_V1, KINECT_V2
from tests.methods import test_contract as contract
from tests.methods.lstcl.published import at
from tests.toys import on_ranks

DATA = DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3, classes=5)
TINY: dict[str, Any] = {
    "frames": 24,
    "future": 4,
    "clip_frames": 10,
    "channels": 4,
    "max_hop": 2,
    "link_hidden": 8,
    "video_width": 0.05,
    "queue": 16,
    "video_queue": 16,
}


def build(data: DataSpec = DATA, **settings: Any) -> LSTCL:
    torch.manual_seed(0)
    return LSTCL(LSTCLConfig(**{**TINY, **settings}), data)


def coded(**settings: Any) -> LSTCL:
    return build(**{**LSTCL.PRESETS["as_coded"], **settings})


def test_the_complete_method_reads_no_label() -> None:
    phases = build().phases()
    assert [phase.name for phase in phases] == ["aim_partial", "aim_full", "encoder"]
    assert [phase.epochs for phase in phases] == [10, 10, 80]
    assert not any(phase.labels for phase in phases)
    assert phases[2].schedule.milestones == (40.0, 60.0) and phases[2].eval_mode == ("links",)
    assert phases[2].clip_norm == 5.0 and phases[2].batch == 32


def test_jointly_the_encoder_reads_labels() -> None:
    method = build(mode="joint")
    assert [phase.labels for phase in method.phases()] == [False, False, True]
    assert "recognition" in method.phases()[2].trainable
    with pytest.raises(UsageError, match="joint trains on labels: the data set names no classes"):
        build(DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3), mode="joint")


def test_as_coded_the_rate_goes_on_from_one_part_to_the_other() -> None:
    phases = coded().phases()[2:]
    assert [(p.name, p.part, p.epochs) for p in phases] == [
        ("encoder", "train", 40),
        ("encoder_2", "holdout", 8),
        ("encoder_3", "train", 82),
    ]
    rates = [
        phase.optimiser.lr * phase.schedule.factor(epoch, phase.epochs)
        for phase in phases
        for epoch in range(phase.epochs)
    ]
    # global epochs 20 to 149: a tenth at 50, 70 and 90
    expected = [0.1] * 30 + [0.01] * 20 + [0.001] * 20 + [0.0001] * 60
    assert rates == pytest.approx(expected)
    assert all(p.labels and p.batch == 16 and p.eval_mode == () for p in phases)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"encoder_epochs": (3, 4)}, "give one number, or three"),
        ({"frames": 40}, "40 frames hold no clip of 50"),
        ({"positives": "labels"}, "needs mode=joint"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        LSTCLConfig(**settings)


def test_the_published_network_has_the_published_size() -> None:
    """Counted in the original; without what it never uses."""
    method = LSTCL(
        LSTCLConfig(), DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3, classes=60)
    )

    def count(part: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in part.parameters())

    edges = 9 * 25 * 25
    assert count(method.encoder) == 4_731_222 + 9 * edges
    assert count(method.recognition) == 15_420
    assert count(method.prediction.layers) == 2_094_976 + 6 * edges
    assert count(method.prediction.query) == count(method.prediction.key) == 44_610 + edges
    assert count(method.links.encoder) == 185_475
    no_link = 128 * 256 + 128 * 128 + 2 * 128
    assert count(method.links.decoder) == 232_323 - no_link
    norms = 7 * 2 * 50  # of expanders, switched off
    assert count(method.video) == 5_807_574 - norms


def key_parameters(method: LSTCL) -> dict[str, Tensor]:
    keys = ("prediction.key.", ".key.")
    return {n: p.clone() for n, p in method.named_parameters() if any(k in n for k in keys)}


def moved(method: LSTCL, phase: str) -> set[str]:
    """Parts of the method whose key parameters a step's beginning moves."""
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(torch.rand_like(parameter))
    before = key_parameters(method)
    method.before_step(at(phase))
    after = key_parameters(method)
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_keys_follow_in_the_phase_that_they_serve() -> None:
    method = build()
    assert moved(method, "aim_partial") == set()
    assert moved(method, "aim_full") == {"video"}
    assert moved(method, "encoder") == {"prediction"}
    published = coded()
    assert moved(published, "aim_full") == set()  # networks of their own, trained
    assert moved(published, "encoder_2") == {"prediction"}


def test_neighbours_count_from_an_epoch_on() -> None:
    method = build(neighbours=2, neighbours_from=3)
    assert [method._neighbours(at("encoder", epoch)) for epoch in (2, 3)] == [0, 2]
    share = build(neighbours=1, neighbours_from=0.5)
    assert [share._neighbours(at("encoder", epoch, 10)) for epoch in (4, 5)] == [0, 1]


def test_masks_and_norms_do_not_decay_unless_as_coded() -> None:
    method = build()
    _, spared = method.parameter_groups(method.phases()[2])
    assert spared["weight_decay"] == 0.0
    ids = {id(parameter) for parameter in spared["params"]}
    for name, parameter in method.named_parameters():
        if name.startswith("encoder.") and parameter.requires_grad:
            assert (id(parameter) in ids) == (
                "norm" in name or "edge" in name or ".residual.1." in name
            ), name
    (everything,) = coded().parameter_groups(coded().phases()[2])
    assert "weight_decay" not in everything


def test_pairs_run_row_by_row_without_the_diagonal() -> None:
    grid = torch.arange(2 * 16).view(2, 4, 4)
    expected = [[int(grid[b, s, r]) for s in range(4) for r in range(4) if s != r] for b in (0, 1)]
    assert off_diagonal(grid).tolist() == expected
    back = on_grid(off_diagonal(grid), 4)
    assert torch.equal(back, grid * (1 - torch.eye(4, dtype=torch.int64)))


def draws(count: int = 400) -> Draws:
    return Draws(0, 0, torch.tensor([key_of(number) for number in range(count)]))


def test_orders_are_each_bodys_own_or_one_as_coded() -> None:
    orders, label = draw_orders(draws(), 2, each=True)
    in_order = (orders == torch.arange(5)).all(-1)  # (N, M, 2)
    assert torch.equal(label, 2 * (~in_order[..., 0]).long() + (~in_order[..., 1]).long())
    assert torch.bincount(label.flatten()).min() > 0.2 * label.numel()
    assert len(orders.flatten(0, 2).unique(dim=0)) == len(ORDERS)
    assert torch.equal(orders.sort(-1).values, torch.arange(5).expand_as(orders))
    same, one = draw_orders(draws(), 2, each=False)
    assert len(same.flatten(0, 1).unique(dim=0)) == 1 and len(one.unique()) == 1


def test_rotations_turn_about_x_then_y_then_z() -> None:
    angles = torch.tensor([0.3, -0.2, 0.7])
    x, y, z = (rotations(angles * torch.eye(3)[axis]) for axis in range(3))
    torch.testing.assert_close(rotations(angles), z @ y @ x)
    point = torch.tensor([1.0, 0.0, 0.0])
    torch.testing.assert_close(
        z @ point,
        torch.tensor([0.7, 0.7, 0.0]).cos() * torch.tensor([1.0, 0, 0])
        + torch.tensor([0.0, 1, 0]) * torch.tensor(0.7).sin(),
    )


def test_an_augmented_pose_is_turned_mirrored_jittered() -> None:
    x = torch.randn(400, 3, 25, 2, generator=torch.Generator().manual_seed(0))
    x[::4, ..., 1] = 0.0
    given = draws()
    found = augment_pose(given, "a", x, KINECT_V2)
    assert not found[::4, ..., 1].any()  # nobody stays nobody
    mirror, jittered = (given.uniform(f"a/{name}", 2) < 0.5 for name in ("mirror", "jittered"))
    angles = torch.deg2rad(given.uniform("a/turn", 2, 3, low=-10, high=10))
    assert 0.4 < float(mirror.float().mean()) < 0.6
    for n in range(5, 25):
        turned = rotations(angles[n, 0]) @ x[n, ..., 0]
        if mirror[n, 0]:
            turned = turned[:, list(KINECT_V2.flip)] * torch.tensor([-1.0, 1.0, 1.0])[:, None]
        apart = (found[n, ..., 0] - turned).abs().max()
        assert (apart > 1e-3) == bool(jittered[n, 0]) and apart < 0.06


def test_as_coded_joints_are_pixels() -> None:
    x = torch.ones(3, 3, 25, 2)
    kept = pixels_as_coded(Draws(0, 0, torch.arange(3)).replay(turning(1.0)), "a", x)
    assert kept[0, 0, :, 0].nonzero().flatten().tolist() == [10, 11, 12, 13, 14]
    small = pixels_as_coded(Draws(0, 0, torch.arange(3)).replay(turning(0.6)), "a", x)
    assert bool(small.all())  # two degrees
    ramp = torch.arange(25.0).expand(3, 3, 25)[..., None]
    flipped = pixels_as_coded(Draws(0, 0, torch.arange(3)).replay(turning(0.5, 0.1)), "a", ramp)
    assert flipped[0, 0, :, 0].tolist() == list(range(24, -1, -1))


def turning(angle: float, mirror: float = 0.9) -> Mapping[str, Tensor]:
    return {"a/turn": torch.tensor(angle), "a/mirror": torch.tensor(mirror)}


def evaluated(data: DataSpec, dataset: str, output: str) -> tuple[LSTCL, dict[str, Tensor]]:
    method = build(data).eval()
    kind = registry.load_dataset(dataset)
    batch = contract.made_up(kind, method.inputs(output), range(6))
    return method, method.eval_views(batch, output)


@pytest.mark.parametrize(
    ("data", "dataset"),
    [
        (DATA, "ntu60"),
        (DataSpec(skeleton=KINECT_V1, persons=1, coordinates=3, classes=10), "nwucla"),
    ],
)
@torch.no_grad()
def test_predictions_and_logits_of_any_skeleton(data: DataSpec, dataset: str) -> None:
    method, views = evaluated(data, dataset, "prediction")
    predicted = method.predict(views)
    joints = data.skeleton.n_joints
    assert predicted.shape == (6, 3, 4, joints, 1)
    assert views["prediction/target"].shape == predicted.shape
    method, views = evaluated(data, dataset, "joint")
    assert method.logits(views).shape == (6, data.classes)


@torch.no_grad()
def test_absent_persons_are_encoded_once_and_counted() -> None:
    method, views = evaluated(DATA, "ntu60", "joint")
    alone = (views["joint/sequence"] == 0).flatten(1, 3).all(1)
    assert int(alone.sum()) == 2  # second persons of every third recording
    rows = []
    method.encoder.register_forward_hook(lambda *call: rows.append(len(call[2])))
    together = method.features(views, ["joint"])["joint"]
    single = torch.cat(
        [
            method.features({name: view[n : n + 1] for name, view in views.items()}, ["joint"])[
                "joint"
            ]
            for n in range(6)
        ]
    )
    assert rows[0] == 12 - 1 and rows[1:] == [2] * 6
    torch.testing.assert_close(together, single, atol=1e-5, rtol=1e-4)


def coded_loop(folder: Path) -> Any:
    """The preset as_coded on this rank, without dropout and with small steps."""
    settings = {
        **TINY,
        "batch": contract.BATCH,
        "dropout": 0,
        "lr": 0.001,
        "clip_norm": 5,
        "initialisation": "torch",
    }
    overrides = [f"method.{name}={value}" for name, value in settings.items()]
    case = contract.Case("lstcl", overrides=("preset=as_coded", *overrides))
    config = contract.resolve(case.name, case.experiment, case.overrides)
    return contract.loop_of(config, folder, sgd=True)


def train_coded(folder: Path) -> None:
    coded_loop(folder).run()


def test_as_coded_too_two_ranks_equal_one(tmp_path: Path) -> None:
    """Its distances are those of the global batch; three phases of the encoder, on labels."""
    loop = coded_loop(tmp_path / "one")
    start = contract.snapshot(loop.method)
    one = contract.trained(loop)
    on_ranks(2, train_coded, tmp_path / "two")
    two = contract.newest(tmp_path / "two").load()["method"]
    assert isinstance(loop.method, Method)
    for name, value in one.items():
        if not value.is_floating_point():
            assert torch.equal(two[name], value), name
            continue
        way, apart = (value - start[name]).norm(), (value - two[name]).norm()
        assert apart <= 1e-2 * way + 1e-5 * value.numel() ** 0.5, f"{name}: {apart} of {way}"

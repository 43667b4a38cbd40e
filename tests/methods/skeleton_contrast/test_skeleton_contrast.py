"""Views, loss, keys and queue against slow readings of the specification."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from pydantic import ValidationError
from torch import Tensor

from skelray.methods.skeleton_contrast.config import SkeletonContrastConfig
from skelray.methods.skeleton_contrast.representations import form_of
from skelray.methods.skeleton_contrast.skeleton_contrast import FIELD, SkeletonContrast
from skelray.platform.distributed import all_gather_rows, rank, world_size
from skelray.platform.method import Batch, DataSpec, Draws, Progress, Ragged, key_of
from skelray.platform.skeleton.specs import KINECT_V1, KINECT_V2
from tests.toys import on_ranks

NOW = Progress(phase="pretrain", epoch=0, epochs=1, step=0, step_in_epoch=0, steps_per_epoch=1)
SIZES = {
    "frames": 16,
    "shortest_crop": 8,
    "gru_hidden": 6,
    "gru_layers": 2,
    "agcn_channels": 4,
    "hcn_channels": 16,
    "dropout": 0.0,
    "projection_dim": 5,
    "queue": 7,
    "momentum": 0.75,
}
ALL = ("sequence", "graph", "image")


def build(*representations: str, persons: int = 2, **changes: Any) -> SkeletonContrast:
    torch.manual_seed(0)
    config = SkeletonContrastConfig(representations=representations, **{**SIZES, **changes})
    skeleton = KINECT_V2 if persons == 2 else KINECT_V1
    data = DataSpec(skeleton=skeleton, persons=persons, coordinates=3, classes=4)
    method = SkeletonContrast(config, data).double()
    with torch.no_grad():  # so that keys differ from queries, and every edge counts
        for name, parameter in method.named_parameters():
            parameter += 0.05 * torch.randn_like(parameter)
            if name.endswith("graph.norm.weight"):
                parameter += 1
    return method


def batch_of(count: int, persons: int = 2, joints: int = 25) -> Batch:
    """Recordings of 9, 20, 31 … frames; every third lacks its second person."""
    torch.manual_seed(1)
    sizes = torch.tensor([9 + 11 * (row % 4) for row in range(count)])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
    frames = torch.randn(int(sizes.sum()), persons, joints, 3, dtype=torch.float64)
    if persons > 1:
        for row in range(0, count, 3):
            frames[offsets[row] : offsets[row + 1], 1] = 0
    clips = Ragged(frames=frames, offsets=offsets, present=frames.flatten(2).any(2), length=sizes)
    return Batch(
        index=torch.arange(count),
        id=[str(row) for row in range(count)],
        key=torch.tensor([key_of(row) for row in range(count)]),
        skeletons={FIELD: clips},
    )


def views_of(method: SkeletonContrast, count: int = 6) -> dict[str, Tensor]:
    data = method.data
    batch = batch_of(count, data.persons, data.skeleton.n_joints)
    return method.views(batch, Draws(0, 0, batch.key), NOW)


def unit(z: Tensor) -> Tensor:
    return z / z.norm(dim=1, keepdim=True)


def slow_loss(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Sample by sample."""
    losses = []
    for q, k in zip(query, key, strict=True):
        positive = torch.exp(q @ k / temperature)
        negatives = sum(torch.exp(q @ other / temperature) for other in queue)
        losses.append(-torch.log(positive / (positive + negatives)))
    return torch.stack(losses).mean()


@pytest.mark.parametrize(
    ("representations", "pairs"),
    [
        *(((name,), [(name, name)]) for name in ALL),
        (("sequence", "graph"), [("sequence", "graph"), ("graph", "sequence")]),
        (("image", "sequence"), [("image", "sequence"), ("sequence", "image")]),
        (ALL, [(a, b) for a in ALL for b in ALL if a != b]),
    ],
)
def test_each_representation_finds_the_keys_of_the_others(
    representations: tuple[str, ...], pairs: list[tuple[str, str]]
) -> None:
    """The whole step in the order of the original: queries, keys' update, keys, loss, queue."""
    method = build(*representations)
    views = views_of(method)
    slow = copy.deepcopy(method)
    queries = {
        name: unit(one.projector(one.encoder(views[f"query/{name}"])))
        for name, one in slow.each().items()
    }
    keys, queues = {}, {}
    with torch.no_grad():
        for name, one in slow.each().items():
            for online, follower in (
                (one.encoder, one.key_encoder),
                (one.projector, one.key_projector),
            ):
                for ours, theirs in zip(online.parameters(), follower.parameters(), strict=True):
                    theirs.copy_(0.75 * theirs + 0.25 * ours)
            keys[name] = unit(one.key_projector(one.key_encoder(views[f"key/{name}"])))
            queues[name] = one.queue.features.clone()
    losses = {(a, b): slow_loss(queries[a], keys[b], queues[b], 0.07) for a, b in pairs}
    expected = torch.stack(list(losses.values())).sum()
    expected.backward()

    method.before_step(NOW)
    step = method(views, NOW)
    step.loss.backward()
    method.after_step(step.carry, NOW)
    torch.testing.assert_close(step.loss, expected)
    assert len(step.terms) == len(pairs)
    for (a, b), loss in losses.items():
        torch.testing.assert_close(step.terms[a if a == b else f"{a}_{b}"], loss)
    theirs = dict(slow.named_parameters())
    for name, parameter in method.named_parameters():
        torch.testing.assert_close(parameter, theirs[name], msg=name)
        assert (parameter.grad is None) == ("key_" in name), name
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, theirs[name].grad, msg=name)
    for name, one in method.each().items():  # of 7 rows the first 6 are overwritten
        written = torch.cat([keys[name], queues[name][6:]])
        torch.testing.assert_close(one.queue.features, written)
        assert int(one.queue.pointer) == 6


def test_key_encoders_have_statistics_of_their_own() -> None:
    method = build("graph")
    one, views = method.each()["graph"], views_of(method)
    before = one.key_encoder.input_norm.running_mean.clone()
    method(views, NOW)
    after = one.key_encoder.input_norm.running_mean
    assert not torch.equal(before, after)
    assert not torch.equal(after, one.encoder.input_norm.running_mean)


def test_both_forms_of_a_view_are_of_the_same_augmented_skeletons() -> None:
    views = views_of(build(*ALL))
    for view in ("query", "key"):
        assert views[f"{view}/graph"].shape == (6, 3, 16, 25, 2)
        assert torch.equal(views[f"{view}/sequence"], form_of(views[f"{view}/graph"], "sequence"))
        assert torch.equal(views[f"{view}/image"], views[f"{view}/graph"])
    assert not torch.equal(views["query/graph"], views["key/graph"])


def test_a_view_is_a_resized_stretch_sheared_or_with_corrupted_joints() -> None:
    method, batch = build("graph", corrupted_joints=3), batch_of(3)
    seven = torch.arange(25).repeat(3, 1).roll(-7, dims=1)  # joints 7, 8 and 9 come first
    entries = torch.tensor([[0.1, -0.2, 0.3, -0.4, 0.5, -0.6]] * 3, dtype=torch.float64)
    matrix = torch.tensor([[0.5, 0.0, 0.1], [-0.3, 0.2, 0.0], [0.0, 0.7, -0.9]]).double()
    given = {
        "query/ratio": torch.tensor([0.0, 0.6, 1.0]),
        "query/start": torch.tensor([0.0, 0.5, 0.99]),
        "query/branch": torch.tensor([0.2, 0.7, 0.9]),
        "query/zero": torch.tensor([0.9, 0.2, 0.8]),
        "query/joints": seven,
        "query/shear": entries,
        "query/matrix": matrix.repeat(3, 1, 1),
    }
    draws = Draws(0, 0, batch.key).replay(given)
    found = method.views(batch, draws, NOW)["query/graph"]
    clips = batch.skeletons[FIELD]
    # of 9, 20 and 31 frames: at least 8; floor(20 * 0.64); all of them
    for row, (start, count) in enumerate([(0, 8), (4, 12), (0, 31)]):
        first = int(clips.offsets[row]) + start
        stretch = clips.frames[first : first + count].permute(3, 0, 2, 1)  # (C, L, V, M)
        flat = stretch.permute(0, 2, 3, 1).reshape(1, -1, count)
        resized = torch.nn.functional.interpolate(flat, size=16, mode="linear")
        expected = resized.view(3, 25, 2, 16).permute(0, 3, 1, 2).clone()
        if row == 0:
            a, b, c, d, e, f = entries[0].tolist()
            shears = torch.tensor([[1, a, b], [c, 1, d], [e, f, 1]], dtype=torch.float64)
            expected = torch.einsum("ij,jtvm->itvm", shears, expected)
        elif row == 1:
            expected[:, :, 7:10] = 0
        else:
            expected[:, :, 7:10] = torch.einsum("ji,jtvm->itvm", matrix, expected[:, :, 7:10])
        torch.testing.assert_close(found[row], expected, rtol=0, atol=1e-6)


def test_evaluation_reads_the_middle_and_trains_on_random_stretches() -> None:
    method, batch = build("sequence", "graph", frames=40), batch_of(4)
    ends = torch.arange(int(batch.skeletons[FIELD].offsets[-1]), dtype=torch.float64)
    clips = batch.skeletons[FIELD]
    clips.frames[:] = ends[:, None, None, None]  # every number is its frame's place
    views = method.eval_views(batch, "graph")
    assert set(views) == {"graph"} and views["graph"].shape == (4, 3, 40, 25, 2)
    # of 42 frames one goes at both ends, of fewer than 40 none
    first, last = views["graph"][:, 0, 0, 0, 0], views["graph"][:, 0, -1, 0, 0]
    lost = torch.tensor([int((1 - 0.95) * n / 2) for n in clips.length.tolist()])
    assert lost.tolist() == [0, 0, 0, 1]
    torch.testing.assert_close(first, (clips.offsets[:-1] + lost).double(), rtol=0, atol=0.1)
    torch.testing.assert_close(last, (clips.offsets[1:] - 1 - lost).double(), rtol=0, atol=0.1)
    sequence = method.eval_views(batch, "sequence")["sequence"]
    assert torch.equal(sequence[..., 0], views["graph"][:, 0, :, 0, 0])
    # training reads a half or more, here of 9, 20, 31 and 42 frames, but 8 frames at least
    given = {"evaluation/ratio": torch.zeros(4), "evaluation/start": torch.zeros(4)}
    drawn = method.eval_views(batch, "graph", Draws(0, 0, batch.key).replay(given))["graph"]
    read = drawn[:, 0, -1, 0, 0] - clips.offsets[:-1]
    expected = torch.tensor([7, 9, 14, 20]).double()
    torch.testing.assert_close(read, expected, rtol=0, atol=0.1)


@pytest.mark.parametrize("representation", ALL)
def test_a_single_person_and_another_skeleton(representation: str) -> None:
    method = build(representation, persons=1)
    step = method(views_of(method), NOW)
    step.loss.backward()
    reached = [p.grad is not None for p in method.parameters() if p.requires_grad]
    assert step.loss.isfinite() and all(reached)


def test_the_first_keys_alone_enter_the_queue_on_request() -> None:
    method = build("sequence", "graph", queued_keys=2)
    before = {name: one.queue.features.clone() for name, one in method.each().items()}
    step = method(views_of(method), NOW)
    method.after_step(step.carry, NOW)
    for name, one in method.each().items():
        assert torch.equal(one.queue.features[:2], step.carry[f"key/{name}"][:2])
        assert torch.equal(one.queue.features[2:], before[name][2:])
        assert int(one.queue.pointer) == 2


def test_groups_are_normalised_apart_on_request() -> None:
    method = build("graph", norm_groups=2)
    views = views_of(method)
    whole = method(views, NOW).trace["z:query/graph"]
    alone = copy.deepcopy(method)
    alone.config = method.config.model_copy(update={"norm_groups": 1})
    parts = [
        alone({name: view[rows] for name, view in views.items()}, NOW).trace["z:query/graph"]
        for rows in (slice(3), slice(3, 6))
    ]
    torch.testing.assert_close(whole, torch.cat(parts))


def step_on_this_rank(folder: Path) -> None:
    """Loss, averaged gradients, statistics and queues after two steps; for spawned ranks too."""
    method = build(*ALL)
    count = 8 // world_size()
    mine = slice(rank() * count, (rank() + 1) * count)
    views = {name: view[mine] for name, view in views_of(method, 8).items()}
    for _ in range(2):
        method.zero_grad()
        method.before_step(NOW)
        step = method(views, NOW)
        step.loss.backward()
        carry = {name: all_gather_rows(rows) for name, rows in step.carry.items()}
        method.after_step(carry, NOW)
    found = {"loss": all_gather_rows(step.loss.detach()[None]).mean(), **method.state_dict()}
    for name, parameter in method.named_parameters():
        if parameter.grad is not None:
            if world_size() > 1:
                dist.all_reduce(parameter.grad)
            found[f"gradient {name}"] = parameter.grad / world_size()
    if rank() == 0:
        torch.save(found, folder / f"{world_size()}.pt")


def test_two_ranks_equal_one_in_values_gradients_and_queues(tmp_path: Path) -> None:
    on_ranks(2, step_on_this_rank, tmp_path)
    step_on_this_rank(tmp_path)
    two, one = (torch.load(tmp_path / f"{world}.pt") for world in (2, 1))
    assert two.keys() == one.keys()
    for name, value in one.items():
        scale = float(value.abs().max()) + 1e-3
        assert (two[name] - value).abs().max() <= 1e-9 * scale, name


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"representations": ()}, "name one or several different ones of sequence, graph and"),
        ({"representations": ("graph", "graph")}, "name one or several different ones"),
        ({"representations": ("image",), "frames": 8}, "representation image needs 16 or more"),
        ({"crop": (0.9, 0.5)}, "two shares of a recording, 0 to 1, in order"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SkeletonContrastConfig(**settings)


def test_published_sizes() -> None:
    """Of queries alone, with their projectors: counted in the original."""
    for names, parameters in (
        (("graph",), 3_552_778),
        (("image",), 17_825_152),
        (("graph", "image"), 3_552_778 + 17_825_152),
    ):
        data = DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3)
        method = SkeletonContrast(SkeletonContrastConfig(representations=names), data)
        trained = sum(p.numel() for p in method.parameters() if p.requires_grad)
        assert trained == parameters
        assert sum(p.numel() for p in method.parameters()) == 2 * parameters
        for one in method.each().values():
            pairs = zip(one.encoder.parameters(), one.key_encoder.parameters(), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs)

"""What UmURL's networks, views and loss do, beside the parity with the published code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from skelray.methods.umurl.encoder import OUTPUTS, frame_tokens, joint_tokens
from skelray.methods.umurl.umurl import UmURL, UmURLConfig
from skelray.platform import distributed
from skelray.platform.errors import UsageError
from skelray.platform.method import Batch, DataSpec, Draws, Ragged, Step
from skelray.platform.nn.batch_norm import synchronise_batch_norm
from skelray.platform.skeleton.specs import KINECT_V1, KINECT_V2
from skelray.platform.training.step import Stepper
from tests.methods.umurl.published import NOW
from tests.toys import on_ranks

DATA = DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3)
UCLA = DataSpec(skeleton=KINECT_V1, persons=1, coordinates=3)
SIZES = {"frames": 6, "dim": 8, "projection_dim": 10}


def build(data: DataSpec = DATA, **settings: Any) -> UmURL:
    torch.manual_seed(0)
    return UmURL(UmURLConfig(**{**SIZES, **settings}), data)


def clips(*names: str, count: int = 8, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (count, 3, SIZES["frames"], 25, 2)
    return {name: torch.randn(shape, generator=generator).to(dtype) for name in names}


def recordings(data: DataSpec, *lengths: int) -> Batch:
    """Made-up recordings of so many frames."""
    generator = torch.Generator().manual_seed(2)
    shape = (sum(lengths), data.persons, data.skeleton.n_joints, 3)
    sizes = torch.tensor(lengths)
    ragged = Ragged(
        frames=torch.randn(shape, generator=generator),
        offsets=torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]),
        present=torch.ones(shape[:2], dtype=torch.bool),
        length=sizes,
    )
    index = torch.arange(len(lengths))
    names = [f"r{row}" for row in index.tolist()]
    return Batch(index=index, id=names, key=index * 7919, skeletons={"skeleton": ragged})


def test_bones_hang_as_published() -> None:
    published = "1,20,20,2,20,4,5,6,20,8,9,10,0,12,13,14,0,16,17,18,20,22,7,24,11"
    assert KINECT_V2.parents == tuple(map(int, published.split(",")))


def test_tokens_are_laid_out_as_published() -> None:
    x = clips("one", count=2)["one"]
    frames, joints = frame_tokens(x), joint_tokens(x)
    assert frames.shape == (2, 6, 150) and joints.shape == (2, 50, 18)
    for n, c, t, v, m in np.ndindex(x.shape):
        value = x[n, c, t, v, m]
        assert frames[n, t, m * 75 + v * 3 + c] == value
        assert joints[n, m * 25 + v, t * 3 + c] == value


def resized(frames: Tensor) -> Tensor:
    """Frames (T, M, V, C) as a clip of so many as the tests' network reads, in float64."""
    flat = frames.double().reshape(1, len(frames), -1).mT
    flat = functional.interpolate(flat, size=SIZES["frames"], mode="linear", align_corners=False)
    return flat[0].T.reshape(SIZES["frames"], *frames.shape[1:])


def slow_view(frames: Tensor, draws: Draws, view: int, row: int) -> np.ndarray:
    """One recording (T, M, V, C) by the specification: crop, resize, then one of three."""

    def uniform(name: str, *shape: int, low: float = 0.0) -> np.ndarray:
        drawn = draws.uniform(f"skeleton/{name}", 4, *shape, low=low)
        return drawn[row, view].double().numpy()

    n, wanted = len(frames), SIZES["frames"]
    count = min(max(int(n * (0.1 + 0.9 * uniform("ratio"))), wanted), n)
    start = int(uniform("start") * (n - count + 1))
    x = resized(frames[start : start + count]).numpy()
    if uniform("branch") < 0.5:
        matrix = np.eye(3)
        matrix[~np.eye(3, dtype=bool)] = uniform("shear", 6, low=-1)
        return np.einsum("ij,tmvj->itvm", matrix, x)
    joints = draws.permutation("skeleton/joints", 4, frames.shape[2])[row, view]
    matrix = np.zeros((3, 3)) if uniform("zero") < 0.5 else uniform("matrix", 3, 3, low=-1)
    for joint in joints[: round(0.6 * frames.shape[2])].tolist():
        x[:, :, joint] = x[:, :, joint] @ matrix
    return x.transpose(3, 0, 2, 1)


@pytest.mark.parametrize("data", [DATA, UCLA], ids=lambda data: data.skeleton.name)
def test_views_are_crops_sheared_or_corrupted_each_by_itself(data: DataSpec) -> None:
    method, batch = build(data), recordings(data, 4, 6, 9, 40, 80, 300)
    draws = Draws(3, 0, batch.key)
    views = method.views(batch, draws, NOW)
    assert list(views) == ["joint", "bone", "motion", "fused"]
    ragged = batch.skeletons["skeleton"]
    for number, view in enumerate(views.values()):
        assert view.dtype == torch.float32
        for row, piece in enumerate(ragged.frames.tensor_split(ragged.offsets[1:-1])):
            expected = slow_view(piece, draws, number, row)
            np.testing.assert_allclose(view[row], expected, rtol=0, atol=1e-5)
    assert not torch.equal(views["joint"], views["bone"])


def test_features_are_of_the_whole_recording_unless_augmented() -> None:
    method, batch = build(), recordings(DATA, 4, 40)
    whole = method.eval_views(batch, "bone")["bone"]
    ragged = batch.skeletons["skeleton"]
    for row, piece in enumerate(ragged.frames.tensor_split(ragged.offsets[1:-1])):
        expected = resized(piece).permute(3, 0, 2, 1)
        torch.testing.assert_close(whole[row].double(), expected, rtol=0, atol=1e-6)
    drawn = method.eval_views(batch, "bone", Draws(0, 0, batch.key))["bone"]
    assert drawn.shape == whole.shape and not torch.equal(drawn, whole)


@torch.no_grad()
def test_joints_have_no_order_and_frames_have() -> None:
    method = build().double().eval()
    x = clips("x", count=2, dtype=torch.float64)["x"]
    shuffled = x.flatten(3)[..., torch.randperm(50)].view(x.shape)
    pooled = [method.encoder.spatial([{"joint": joint_tokens(y)}]) for y in (x, shuffled)]
    torch.testing.assert_close(*pooled)
    backwards = [method.encoder.temporal([{"joint": frame_tokens(y)}]) for y in (x, x.flip(2))]
    assert (backwards[0] - backwards[1]).abs().max() > 1e-3


def step_by_hand(method: UmURL, views: dict[str, Tensor]) -> Tensor:
    """The loss with one call for everything, and covariances as matrices."""
    fused = method.features(views, ["fused"])["fused"]
    pairs = []
    for name in ("joint", "bone", "motion"):
        own = method.features(views, [name])[name]
        pairs.append((method.projectors[name](fused), method.projectors[name](own)))
    centre = sum(own for _, own in pairs) / 3
    loss = 5 * sum(functional.mse_loss(a, b) + functional.mse_loss(b, centre) for a, b in pairs)
    for z in (z for pair in pairs for z in pair):
        matrix = torch.cov(z.T)
        own = matrix.diagonal()
        apart = (matrix - own.diag()).square().sum() / len(own)
        loss = loss + 5 * (1 - (own + 1e-4).sqrt()).clamp(min=0).mean() + apart
    return loss


def test_the_loss_equals_one_made_by_hand() -> None:
    views = clips(*OUTPUTS, dtype=torch.float64)
    ours, other = build().double(), build().double()
    loss, expected = ours(views, NOW).loss, step_by_hand(other, views)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)
    loss.backward()
    expected.backward()
    for (name, a), b in zip(ours.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-7, atol=1e-10, msg=name)
    for name, value in ours.state_dict().items():  # running statistics: that of `fused` first
        torch.testing.assert_close(value, other.state_dict()[name], msg=name)
    assert int(ours.projectors["bone"][1].num_batches_tracked) == 2


def test_the_baseline_compares_two_views_of_fused_streams() -> None:
    method = build(objective="baseline").double()
    assert dict(method.outputs) == {"fused": 16} and list(method.projectors) == ["fused"]
    batch = recordings(DATA, 12, 30)
    assert set(method.views(batch, Draws(0, 0, batch.key), NOW)) == {"first", "second"}
    views = clips("first", "second", dtype=torch.float64)
    step = method(views, NOW)
    z = step.trace["z"]
    assert z.shape == (2, 8, 10) and step.terms["inter"] == 0
    expected = 5 * functional.mse_loss(z[0], z[1])
    for one in z:
        matrix = torch.cov(one.T)
        own = matrix.diagonal()
        expected += (matrix - own.diag()).square().sum() / 10
        expected += 5 * (1 - (own + 1e-4).sqrt()).clamp(min=0).mean()
    torch.testing.assert_close(step.loss, expected)
    step.loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in method.projectors.parameters())
    assert all(p.grad is not None for p in method.encoder.parameters())


@pytest.mark.parametrize("half", [False, True])
def test_under_autocast_the_loss_is_of_float32_unless_asked(half: bool) -> None:
    views = clips(*OUTPUTS, count=32)
    method = build(half_precision_loss=half)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        step = method(views, NOW)
    assert step.loss.dtype == torch.float32 and step.trace["z"].dtype == torch.bfloat16
    fused, own = step.trace["z"].double().chunk(2)
    intra = (fused - own).square().mean(dim=(1, 2)).sum()
    torch.testing.assert_close(step.terms["intra"].double(), intra, rtol=1e-5, atol=0)
    exact = sum(
        (torch.cov(z.T) - torch.cov(z.T).diagonal().diag()).square().sum() / 10
        for z in step.trace["z"].double()
    )
    error = abs(step.terms["covariance"].item() / exact.item() - 1)
    assert (1e-5 < error < 1e-2) if half else error < 1e-5


def test_a_step_in_fp16_as_published() -> None:
    """Its scaler leaves out steps until it has found the scale of so small a batch."""
    method, batch = build(), recordings(DATA, 20, 30, 12, 40)
    (phase,) = method.phases()
    assert phase.precision == "fp16"
    stepper = Stepper(method, phase, seed=0, device=torch.device("cpu"), ddp=False)
    before = {name: value.clone() for name, value in method.named_parameters()}
    figures = stepper.run([batch], NOW)
    while not figures["train/grad_norm"].isfinite():
        assert figures["train/loss"].isfinite() and stepper.scaler.get_scale() >= 1
        figures = stepper.run([batch], NOW)
    for name, value in method.named_parameters():
        assert value.isfinite().all() and not torch.equal(value, before[name]), name


def trained(method: UmURL, views: dict[str, Tensor], network: nn.Module) -> dict[str, Any]:
    step: Step = network(views, NOW)
    step.loss.backward()
    gradients = {name: p.grad for name, p in method.named_parameters()}
    return {"terms": step.terms, "gradients": gradients, "state": method.state_dict()}


def on_this_rank(folder: Path) -> None:
    method = build().double()
    synchronise_batch_norm(method)
    rank = distributed.rank()
    views = {k: x.chunk(2)[rank] for k, x in clips(*OUTPUTS, dtype=torch.float64).items()}
    network = DistributedDataParallel(method, broadcast_buffers=False)
    torch.save(trained(method, views, network), folder / f"{rank}.pt")


def test_two_ranks_equal_one_in_values_and_gradients(tmp_path: Path) -> None:
    on_ranks(2, on_this_rank, tmp_path)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    method = build().double()
    one = trained(method, clips(*OUTPUTS, dtype=torch.float64), method)
    close = {"rtol": 1e-9, "atol": 1e-12}
    for name, value in one["terms"].items():  # consistency is each rank's own mean
        both = (ranks[0]["terms"][name] + ranks[1]["terms"][name]) / 2
        torch.testing.assert_close(both, value, **close, msg=name)
    for found in ranks:
        for part in ("gradients", "state"):
            assert found[part].keys() == one[part].keys()
            for name, value in one[part].items():
                torch.testing.assert_close(found[part][name], value, **close, msg=name)


def test_a_classifier_holds_what_its_output_needs_alone() -> None:
    method = build()
    recipe = method.recipes()["linear"]
    sizes = {}
    for output in OUTPUTS:
        classifier = method.classifier(5, output, recipe).eval()
        x = clips(output)
        head = classifier.head(method.features(x, [output])[output])
        torch.testing.assert_close(classifier(x), head)
        sizes[output] = len(list(classifier.encoder.parameters()))
    transformers = 2 * 12
    assert sizes == {"fused": transformers + 2 * 19} | dict.fromkeys(OUTPUTS[1:], transformers + 12)
    assert len(list(method.encoder.parameters())) == sizes["fused"]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValidationError, match="3 heads do not share a width of 1024"):
        UmURLConfig(heads=3)
    with pytest.raises(ValidationError, match="dim 7 is odd"):
        UmURLConfig(dim=7)
    with pytest.raises(UsageError, match=r"holds one recording.* set method\.last=drop"):
        build()(clips(*OUTPUTS, count=1), NOW)

"""SV-data2vec's masks, target, loss and teacher, computed again slowly; its settings and inputs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from skelray.datasets.synthetic.dataset import Synthetic
from skelray.methods.svdata2vec.config import SVData2vecConfig
from skelray.methods.svdata2vec.masking import Masks, kept_of
from skelray.methods.svdata2vec.pictures import recorded
from skelray.methods.svdata2vec.svdata2vec import SVData2vec
from skelray.platform.clips.transforms import normalise
from skelray.platform.method import Batch, DataSpec, Draws, Progress, Step, Views
from skelray.platform.skeleton.specs import COCO, KINECT_V2, SMARTHOME15
from tests.methods.test_contract import made_up

DATA = DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3, classes=16)
SMALL: dict[str, Any] = {
    **{"frames": 12, "size": 20, "resized": 24, "channels": 4, "dim": 16, "heads": 2},
    **{"depth": 2, "decoder_depth": 1},
}
START = Progress(phase="pretrain", epoch=0, epochs=2, step=0, step_in_epoch=0, steps_per_epoch=4)


def build(**settings: Any) -> SVData2vec:
    torch.manual_seed(0)
    return SVData2vec(SVData2vecConfig(**{**SMALL, **settings}), DATA)


def batch_for(method: SVData2vec, use: str = "pretrain", rows: range = range(4)) -> Batch:
    inputs = method.training_inputs(use) if use in method.outputs else method.inputs(use)
    return made_up(Synthetic, inputs, list(rows))


def views_for(method: SVData2vec, rows: range = range(4)) -> Views:
    batch = batch_for(method, rows=rows)
    return method.views(batch, Draws(1, 0, batch.key), START)


def slow_tokens(method: SVData2vec, views: Views) -> tuple[Tensor, Tensor]:
    """Video and skeleton tokens (N, T, D), the latter as the sum that a convolution is."""
    weight, bias = (getattr(method.skeleton.projection, name) for name in ("weight", "bias"))
    joints = views["joints"]
    skeleton = bias + torch.zeros(*joints.shape[:3:2], len(bias), dtype=joints.dtype)
    for person in range(2):
        for axis in range(2):
            kernel = weight[:, 2 * person + axis, 0]  # (D, V)
            skeleton = skeleton + joints[:, person, :, :, axis] @ kernel.T
    return method.video(views["video"]), skeleton


def slow_loss(method: SVData2vec, views: Views) -> Tensor:
    """Section by section, clip by clip, frame by frame."""
    config, losses = method.config, []
    video, skeleton = slow_tokens(method, views)
    position = method.position[0]
    for n in range(len(video)):
        z, layers = (skeleton[n] + position)[None], []
        for block in method.teacher:
            z = block(z)
            layers.append((z[0] - z[0].mean(0)) / (z[0].var(0, unbiased=False) + 1e-5).sqrt())
        target = torch.stack(layers).mean(0).detach()
        noise = views["video_noise"][n].tolist()
        frames = sorted(range(config.frames), key=noise.__getitem__)
        kept = frames[: int(config.frames * (1 - config.video_mask))]
        again = views["skeleton_noise"][n].tolist()
        both = sorted(range(len(kept)), key=again.__getitem__)
        both = [kept[i] for i in both[: int(len(kept) * (1 - config.skeleton_mask))]]
        seen = [
            ((video[n, t] + position[t]) + (skeleton[n, t] + position[t])) / 2
            if t in both
            else video[n, t] + position[t]
            for t in kept
        ]
        latent = method.encoder(torch.stack(seen)[None])[0]
        decoder = method.decoder
        x = decoder.position[0] + decoder.mask_token[0]
        for t, token in zip(kept, latent, strict=True):
            x = x.index_copy(
                0, torch.tensor([t]), (decoder.embedding(token) + decoder.position[0, t])[None]
            )
        predicted = decoder.prediction(decoder.transformer(x[None]))[0]
        for t in range(config.frames):
            if t not in both and views["weight"][n]:
                losses.append((predicted[t] - target[t]).square().mean())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("training", [False, True])
def test_the_loss_equals_a_slow_one(training: bool) -> None:
    method = build().double().train(training)
    views = {name: value.double() for name, value in views_for(method).items()}
    expected = slow_loss(method, views)
    expected.backward()
    gradients = {name: p.grad for name, p in method.named_parameters()}
    method.zero_grad()
    step: Step = method(views, START)
    step.loss.backward()
    torch.testing.assert_close(step.loss, expected)
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, gradients[name], msg=name)
        else:
            assert parameter.grad is None and name.startswith("teacher.")


def test_published_masks_keep_13_pictures_and_3_skeletons() -> None:
    assert kept_of(40, 0.66) == 13 and kept_of(13, 0.75) == 3
    config = SVData2vecConfig()
    assert (config.kept_frames, config.kept_skeletons) == (13, 3)
    for settings in ({"video_mask": 0.99}, {"skeleton_mask": 0.99}):
        with pytest.raises(ValidationError, match="must see a skeleton"):
            SVData2vecConfig(**settings)
    with pytest.raises(ValidationError, match="one must be left to predict"):
        SVData2vecConfig(video_mask=0, skeleton_mask=0)
    with pytest.raises(ValidationError, match="5 heads do not share a width of 256"):
        SVData2vecConfig(heads=5)


def test_draws_name_the_masks_so_that_they_can_be_replayed() -> None:
    method = build()
    batch = batch_for(method)
    noise = {"mask/video": torch.rand(4, 12), "mask/skeleton": torch.rand(4, 4)}
    views = method.views(batch, Draws(1, 0, batch.key).replay(noise), START)
    assert views["video_noise"] is noise["mask/video"]
    assert views["skeleton_noise"] is noise["mask/skeleton"]


def progress(step: int, steps: int = 4) -> Progress:
    return replace(START, epoch=step // steps, step=step, step_in_epoch=step % steps)


def test_the_teacher_moves_by_the_published_counter() -> None:
    method = build()
    counted = [method.teacher_update(progress(step)) for step in range(12)]
    assert counted == [1, 2, 3, 4, None, 2, 3, 4, None, 2, 3, 4]
    decays = [method.decay(n) for n in (1, 313, 25_000, 50_000, 70_000)]
    expected = [0.9990000198, 0.9990061974, 0.999495, 0.99999, 0.99999]
    assert decays == pytest.approx(expected, abs=1e-12)


def test_the_sound_preset_counts_on_and_copies() -> None:
    method = build(**SVData2vec.PRESETS["sound"])
    counted = [method.teacher_update(progress(step)) for step in range(6)]
    assert counted == [1, 2, 3, 4, 5, 6]
    student = method.encoder.blocks.state_dict()
    assert all(torch.equal(v, student[k]) for k, v in method.teacher.state_dict().items())


def test_the_teacher_starts_from_torchs_initialisation_as_published() -> None:
    method = build(dim=64)
    weight, ours = method.teacher[0].mlp[0].weight, method.encoder.blocks[0].mlp[0].weight
    assert float(weight.abs().max()) <= 1 / math.sqrt(64)  # nn.Linear's own bound
    assert float(ours.detach().abs().max()) > 1 / math.sqrt(64)  # Xavier's is larger
    assert method.teacher[0].mlp[0].bias.any() and not method.encoder.blocks[0].mlp[0].bias.any()


def test_the_teacher_moves_after_the_step_and_is_saved_but_not_optimised() -> None:
    method = build(ema_start=0.5, ema_end=0.75, ema_steps=2)
    phase = method.phases()[0]
    optimiser = phase.optimiser.build(method.parameter_groups(phase))
    held = {id(p) for group in optimiser.param_groups for p in group["params"]}
    assert not held & {id(p) for p in method.teacher.parameters()}
    before = {k: v.clone() for k, v in method.teacher.state_dict().items()}
    method(views_for(method), START).loss.backward()
    optimiser.step()
    assert all(torch.equal(v, before[k]) for k, v in method.teacher.state_dict().items())
    student = method.encoder.blocks.state_dict()
    method.after_step({}, START)  # the first update: half way up the line
    for key, value in method.teacher.state_dict().items():
        torch.testing.assert_close(value, 0.625 * before[key] + 0.375 * student[key])
        assert torch.equal(method.state_dict()[f"teacher.{key}"], value)
    after = method.teacher.state_dict()["0.norm1.weight"].clone()
    method.after_step({}, replace(START, epoch=1, step=4))  # left out
    assert torch.equal(method.teacher.state_dict()["0.norm1.weight"], after)


@pytest.mark.parametrize(("spec", "trained"), [(COCO, 20_207_744), (SMARTHOME15, 20_205_696)])
def test_parameter_counts(spec: Any, trained: int) -> None:
    data = DataSpec(skeleton=spec, persons=2, coordinates=spec.dimensions)
    with torch.device("meta"):
        method = SVData2vec(SVData2vecConfig(), data)

    def count(*parts: torch.nn.Module) -> int:
        return sum(p.numel() for part in parts for p in part.parameters())

    assert sum(p.numel() for p in method.parameters() if p.requires_grad) == trained
    assert count(method.video) == 11_349_376 and count(method.video.projection) == 131_328
    assert count(method.skeleton) == {17: 17_664, 15: 15_616}[spec.n_joints]
    assert count(method.teacher) == count(method.encoder.blocks) == 6_318_080
    assert count(method.decoder.transformer.blocks) == 2_369_280
    assert count(method.decoder.embedding) == count(method.decoder.prediction) == 65_792


@pytest.mark.parametrize("encode_frames", ["all", "kept"])
def test_checkpointed_activations_change_no_bit(encode_frames: str) -> None:
    methods = [
        build(encode_frames=encode_frames, checkpoint_activations=checkpointed)
        for checkpointed in (False, True)
    ]
    steps = [method(views_for(method), START) for method in methods]
    for step in steps:
        step.loss.backward()
    assert torch.equal(steps[0].loss, steps[1].loss)
    first, second = (dict(method.named_parameters()) for method in methods)
    assert all(
        torch.equal(p.grad, second[name].grad) for name, p in first.items() if p.requires_grad
    )
    states = [method.state_dict() for method in methods]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_encoding_kept_frames_alone_equals_all_where_none_is_masked() -> None:
    losses, traces = [], []
    for encode_frames in ("all", "kept"):
        method = build(encode_frames=encode_frames, video_mask=0.0)
        step = method(views_for(method), START)
        losses.append(step.loss)
        traces.append(step.trace["latent"])
    assert torch.equal(*losses) and torch.equal(*traces)


def test_encoding_kept_frames_alone_reads_no_other() -> None:
    method = build(encode_frames="kept").eval()
    views = views_for(method)
    latent = method(views, START).trace["latent"]
    kept = views["video_noise"].argsort(dim=1)[:, : method.config.kept_frames]
    masked = torch.ones(4, 12, dtype=torch.bool).scatter(1, kept, False)
    video = views["video"].masked_fill(masked[:, None, :, None, None], 7.0)
    assert torch.equal(method({**views, "video": video}, START).trace["latent"], latent)
    in_time = kept.sort(dim=1).values
    tokens = method.video(torch.stack([v[:, i] for v, i in zip(video, in_time, strict=True)]))
    place = torch.stack([torch.searchsorted(a, b) for a, b in zip(in_time, kept, strict=True)])
    none = Masks(kept, torch.zeros_like(kept, dtype=torch.bool), kept, kept)
    seen = method._seen(video, method.skeleton(views["joints"]), none)
    expected = tokens.gather(1, place[..., None].expand(-1, -1, 16))
    position = method.position[0][kept]
    torch.testing.assert_close(seen, expected + position)


def test_broken_clips_get_no_weight() -> None:
    method = build().eval()
    views = views_for(method, range(10, 14))
    assert views["weight"].tolist() == [1, 1, 0, 1]
    others = {name: value[[0, 1, 3]] for name, value in views.items()}
    torch.testing.assert_close(method(views, START).loss, method(others, START).loss)


def test_a_batch_of_broken_clips_has_a_loss_of_zero_that_reaches_all() -> None:
    method = build()
    views = {**views_for(method), "weight": torch.zeros(4)}
    loss = method(views, START).loss
    loss.backward()
    assert float(loss.detach()) == 0
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and not parameter.grad.any(), name


def test_augmentation_moves_missing_joints_as_published_but_no_absent_person() -> None:
    published, sound = build(), build(move_missing=False)
    batch = batch_for(published, rows=range(3))  # recordings 0 and 3 lack the second person
    poses = batch.skeletons["pose"]
    assert recorded(poses).tolist() == [[True, False], [True, True], [True, True]]
    frames = poses.frames.clone()
    frames[:, :, 3] = 0  # a joint that is missing throughout
    batch = replace(batch, skeletons={"pose": replace(poses, frames=frames)})
    for method, moved in ((published, True), (sound, False)):
        joints = method.views(batch, Draws(5, 0, batch.key), START)["joints"]
        assert not joints[0, 1].any()
        assert bool(joints[1:, :, :, 3].any()) == moved


def test_flips_swap_the_joints_of_left_and_right() -> None:
    plain, flipped = (build(flip=share, crop_area=(1.0, 1.0)) for share in (0.0, 1.0))
    batch = batch_for(plain)
    first, second = (m.views(batch, Draws(1, 0, batch.key), START) for m in (plain, flipped))
    torch.testing.assert_close(second["video"], first["video"].flip(-1))
    left, right = KINECT_V2.left_right[0]
    x = first["joints"][1:3, :, :, left, 0]  # those of two persons
    torch.testing.assert_close(second["joints"][1:3, :, :, right, 0], 20 - x)


def test_what_is_read_for_what() -> None:
    method = build()
    pretrain, joint, rgb = (method.inputs(use) for use in ("pretrain", "skeleton_rgb", "rgb"))
    assert all(inputs.skeletons["pose"].name == "pose_2d" for inputs in (pretrain, joint))
    assert not rgb.skeletons  # nobody need have found poses
    found = [
        (i.clip.size, i.clip.sampling, i.clip.box, i.clip.joints) for i in (pretrain, joint, rgb)
    ]
    assert found == [
        (24, "random", "joints", "pose"),
        (20, "seeded", "joints", "pose"),
        (20, "seeded", "recording", ""),
    ]
    assert method.training_inputs("skeleton_rgb") == pretrain
    clip = method.training_inputs("rgb").clip
    assert (clip.size, clip.sampling, clip.box, clip.joints) == (24, "random", "recording", "")


@pytest.mark.parametrize("output", ["skeleton_rgb", "rgb"])
def test_evaluation_reads_pictures_as_they_are_or_augmented(output: str) -> None:
    method = build().eval()
    batch = made_up(Synthetic, method.inputs(output), [0, 1])
    views = method.eval_views(batch, output)
    assert torch.equal(views[f"{output}/video"], normalise(batch.clip))
    assert (f"{output}/joints" in views) == (output == "skeleton_rgb")
    trained = method.eval_views(batch_for(method, output), output, Draws(1, 0, torch.arange(4)))
    assert trained[f"{output}/video"].shape == (4, 3, 12, 20, 20)
    if output == "rgb":  # joints must not be touched
        batch = replace(batch, skeletons={})
        views = method.eval_views(batch, output)
    tokens = method.video(views[f"{output}/video"])
    if output == "skeleton_rgb":
        tokens = (tokens + method.skeleton(views[f"{output}/joints"])) / 2
    expected = method.encoder(tokens + method.position).mean(1)
    torch.testing.assert_close(method.features(views, [output])[output], expected)


def test_the_published_rate() -> None:
    phase = SVData2vec(SVData2vecConfig(**SMALL), DATA).phases()[0]
    rate = lambda e: phase.optimiser.lr * phase.schedule.factor(int(e), 400, e % 1)  # noqa: E731
    assert rate(0) == 0 and rate(10.5) == pytest.approx(1e-3 * 10.5 / 20)
    cosine = 0.5 * (1 + math.cos(math.pi * (200.25 - 20) / 380))
    assert rate(200.25) == pytest.approx(5e-4 + 5e-4 * cosine)
    assert (phase.batch, phase.epochs, phase.last) == (128, 400, "drop")


def test_spreads_are_zero_where_all_clips_look_the_same() -> None:
    method = build().eval()
    views = {
        name: value[:1].expand(3, *value.shape[1:]) for name, value in views_for(method).items()
    }
    figures = method(views, START).figures
    assert float(figures["target_spread"]) < 1e-5 and float(figures["prediction_spread"]) < 1e-5
    figures = method(views_for(method), START).figures
    assert float(figures["target_spread"]) > 0.01
    assert np.isfinite(float(figures["prediction_spread"]))

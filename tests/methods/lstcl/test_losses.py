"""The losses, completed and as coded, against slow readings of their definitions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from skelray.methods.lstcl.coded import CodedPredictionContrast, CodedQueue, distance_nce
from skelray.methods.lstcl.complete import PredictionContrast, RunningMean, VideoContrast
from skelray.methods.lstcl.config import LSTCLConfig
from skelray.methods.lstcl.seen import FromVideo, Outcome, Predicted
from skelray.methods.lstcl.video import VideoPart, shown

FUTURE, JOINTS, FEATURES = 4, 5, 6
WIDTH = 3 * FUTURE * JOINTS


def predicted(seed: int, count: int = 7, **more: Any) -> Predicted:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    return Predicted(
        pred=normal(3, FUTURE, JOINTS),
        key=normal(3, FUTURE, JOINTS),
        target=normal(3, FUTURE, JOINTS),
        last=normal(3, JOINTS),
        feature=normal(FEATURES),
        **more,
    )


def contrast(**settings: Any) -> PredictionContrast:
    config = LSTCLConfig(future=FUTURE, queue=10, average=0.75, **settings)
    return PredictionContrast(config, WIDTH, FEATURES)


def unit(motion: Tensor, centre: Tensor) -> Tensor:
    return (motion - centre) / max(float((motion - centre).norm()), 1e-3)


def slow_contrast(
    x: Predicted, keys: list[Tensor], features: list[Tensor], centre: Tensor, *, pose: bool = False
) -> float:
    """The mean over samples of -log(Σ positives / Σ all), a sum of exponentials at a time."""
    losses = []
    for n in range(len(x.pred)):
        base = 0 if pose else x.last[n][:, None]
        u = unit((x.pred[n] - base).flatten(), centre)
        own = math.exp(float(u @ unit((x.key[n] - base).flatten(), centre)) / 0.07)
        queued = [math.exp(float(u @ row) / 0.07) for row in keys]
        feature = x.feature[n] / x.feature[n].norm()
        near = [float(feature @ row) for row in features]
        chosen = sorted(range(len(near)), key=lambda row: -near[row])[: x.neighbours]
        positive = own + sum(queued[row] for row in chosen)
        losses.append(-math.log(positive / (own + sum(queued))))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("neighbours", [0, 1, 3])
@pytest.mark.parametrize("space", ["motion", "pose"])
def test_predictions_find_their_keys_and_similar_samples(neighbours: int, space: str) -> None:
    module, pose = contrast(space=space), space == "pose"
    first = module(predicted(0, neighbours=neighbours))
    assert float(first.terms["contrast"]) == 0.0  # nothing to compare with
    keys: list[Tensor] = []
    features: list[Tensor] = []
    centres: list[Tensor] = []
    for seed in range(3):
        x = predicted(seed, neighbours=neighbours)
        weights = [0.75**age for age in range(len(centres))][::-1]
        centre = sum((w * c for w, c in zip(weights, centres, strict=True)), torch.zeros(WIDTH)) / (
            sum(weights) or 1.0
        )
        found = module(x)
        expected = slow_contrast(x, keys[-10:], features[-10:], centre, pose=pose)
        assert float(found.terms["contrast"]) == pytest.approx(expected, rel=1e-4, abs=1e-6)
        module.remember(found.carry)
        motion = x.key.flatten(1) if pose else (x.key - x.last[:, :, None]).flatten(1)
        keys += [unit(row, centre) for row in motion]
        features += [row / row.norm() for row in x.feature]
        centres.append(motion.mean(0))
    assert len(keys) > 10  # the queue has gone round


def test_samples_of_the_same_class_are_positives_on_request() -> None:
    module = contrast(positives="labels", mode="joint")
    label = torch.tensor([0, 1, 2, 0, 1, 2, 3])
    module.remember(module(predicted(0, label=label)).carry)
    x = predicted(1, label=torch.tensor([0, 1, 2, 3, 4, 5, 0]))
    found = module(x)
    u = found.carry["key"]
    centre = module.centre.value()
    losses = []
    for n, own in enumerate(u):
        query = unit((x.pred[n] - x.last[n][:, None]).flatten(), centre)
        weights = torch.exp(query @ torch.stack([own, *module.keys.features[:7]]).T / 0.07)
        same = torch.cat([torch.tensor([True]), label == x.label[n]])
        losses.append(-torch.log(weights[same].sum() / weights.sum()))
    torch.testing.assert_close(found.terms["contrast"], torch.stack(losses).mean())


def test_the_error_is_relative_to_that_of_the_last_pose() -> None:
    module = contrast()
    x = predicted(0)
    stays = Predicted(
        pred=x.last[:, :, None].expand_as(x.target),
        key=x.key,
        target=x.target,
        last=x.last,
        feature=x.feature,
    )
    found = module(stays)
    assert float(found.terms["prediction"]) == pytest.approx(1.0, rel=1e-5)
    module.remember(found.carry)
    after = module(x)
    moved = (x.target - x.last[:, :, None]).square().mean()
    error = (x.pred - x.target).square().mean()
    assert float(after.terms["prediction"]) == pytest.approx(float(error / moved), rel=1e-4)


def test_a_running_mean_is_the_mean_of_what_there_is() -> None:
    mean = RunningMean(0.9, 2)
    assert mean.value().tolist() == [0.0, 0.0]
    mean.update(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    torch.testing.assert_close(mean.value(), torch.tensor([2.0, 3.0]))
    mean.update(torch.tensor([[4.0, 5.0]]))
    expected = (0.9 * torch.tensor([2.0, 3.0]) + torch.tensor([4.0, 5.0])) / 1.9
    torch.testing.assert_close(mean.value(), expected)


def slow_distance_nce(query: Tensor, key: Tensor, chunks: list[Tensor]) -> float:
    own = math.exp(float(((query - key) ** 2).mean()))
    others = sum(math.exp(float(((query - chunk) ** 2).mean())) for chunk in chunks)
    return -math.log(1e-12 + own / (own + others))


def test_the_coded_loss_compares_whole_batches() -> None:
    torch.manual_seed(0)
    queue = CodedQueue(14, 6)
    torch.testing.assert_close(queue.rows.norm(dim=0), torch.ones(6))  # not each row's
    query, key = torch.randn(4, 6), torch.randn(4, 6)
    # 14 rows hold three chunks of four, of which the last is left out
    chunks = [queue.rows[0:4], queue.rows[4:8]]
    found = distance_nce(query, key, queue.chunks(4))
    assert float(found) == pytest.approx(slow_distance_nce(query, key, chunks), rel=1e-5)
    apart = distance_nce(query, key + 100, queue.chunks(4))  # e^10000 and more
    assert math.isfinite(apart) and float(apart) < float(found)  # the sign of the original


def test_the_coded_queue_is_filled_from_its_second_batch_on() -> None:
    module = CodedPredictionContrast(LSTCLConfig(future=FUTURE, queue=8), WIDTH)
    before = module.keys.rows.clone()
    steps = [module(predicted(seed, 4)) for seed in range(3)]
    module.remember(steps[0].carry)
    torch.testing.assert_close(module.keys.rows[4:], steps[0].carry["key"])
    assert torch.equal(module.keys.rows[:4], before[:4])
    for step in steps[1:]:
        module.remember(step.carry)
    torch.testing.assert_close(module.keys.rows[:4], steps[1].carry["key"])
    torch.testing.assert_close(module.keys.rows[4:], steps[2].carry["key"])


class Taken(torch.nn.Module):
    """In place of the link encoder: its logits are a function of the clip that tests can follow."""

    def forward(self, clips: Tensor) -> Tensor:
        joints = clips.shape[1]
        pairs = torch.stack(
            [clips[:, s] - clips[:, r] for s in range(joints) for r in range(joints) if s != r], 1
        )
        return pairs.mean(2)


def from_video(seed: int, bodies: int = 6) -> FromVideo:
    generator = torch.Generator().manual_seed(seed)

    def normal(frames: int) -> Tensor:
        return torch.randn(bodies, JOINTS, frames, 3, generator=generator)

    orders = torch.stack([torch.randperm(5, generator=generator) for _ in range(2 * bodies)])
    return FromVideo(
        clips=normal(20),
        augmented={"inter": normal(1), "intra": normal(1)},
        orders=orders.view(bodies, 2, 5),
        order_label=torch.arange(bodies) % 4,
        present=(torch.arange(bodies) != 2).float(),
    )


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0))


def test_the_video_losses_of_bodies_that_are_there() -> None:
    torch.manual_seed(0)
    config = LSTCLConfig(clip_frames=20, frames=20, video_width=0.05, dropout=0.0, video_queue=9)
    part = VideoPart(config, JOINTS, 3, momentum=True).eval()  # BatchNorm by row: a slow reading
    module, links = VideoContrast(config, 3 * part["inter"].query.outputs), Taken()
    outcome: Outcome | None = None
    queued: dict[str, list[Tensor]] = {"inter": [], "segments": []}
    for seed in range(3):
        x = from_video(seed)
        see = shown(x.clips)
        outcome = module(part, links, x)
        with torch.no_grad():
            z = {
                "inter": part["inter"].query(see.first, links),
                "intra": part["intra"].query(see.first, links),
                "video": part["segments"].query(see.begins, links),
                "segments": part["segments"].key(see.ends, links),
            }
            frames = (see.middle, see.end)
            inter, intra = (
                [part[name].key(frame, links) for frame in (x.augmented[name], *frames)]
                for name in ("inter", "intra")
            )
        expected: dict[str, list[float]] = {"inter": [], "intra": [], "video": []}
        for b in range(6):
            if not x.present[b]:
                continue

            def nce(query: Tensor, key: Tensor, others: list[Tensor]) -> float:
                own = math.exp(cosine(query, key) / 0.07)
                rest = sum(math.exp(cosine(query, row) / 0.07) for row in others)
                return -math.log(own / (own + rest))

            rows = queued["inter"][-9:]
            expected["inter"].append(sum(nce(z["inter"][b], k[b], rows) for k in inter) / 3)
            expected["intra"].append(nce(z["intra"][b], intra[0][b], [k[b] for k in intra[1:]]))
            segments = queued["segments"][-9:]
            expected["video"].append(nce(z["video"][b], z["segments"][b], segments))
        for name, values in expected.items():
            mean = sum(values) / len(values)
            assert float(outcome.terms[name].detach()) == pytest.approx(mean, rel=1e-4, abs=1e-6), (
                name
            )
        module.remember(outcome.carry)
        there = [b for b in range(6) if x.present[b]]
        queued["inter"] += [inter[0][b] for b in there]
        queued["segments"] += [z["segments"][b] for b in there]
    assert int(module.inter.filled) == 9
    assert all(not p.requires_grad for twins in part.twins() for p in twins.key.parameters())

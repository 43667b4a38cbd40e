import math

import pytest
import torch
from torch.nn.functional import normalize

from skelray.platform.objectives.contrastive import (
    Logits,
    info_nce,
    multi_positive_nce,
    unit_vectors,
)


def unit(*shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(shape, generator=generator, dtype=torch.float64), dim=1).to(dtype)


def slow_info_nce(query, key, queue, temperature):
    losses = []
    for q, k in zip(query.tolist(), key.tolist(), strict=True):

        def score(m, q=q):
            return math.exp(sum(a * b for a, b in zip(q, m, strict=True)) / temperature)

        negatives = sum(score(m) for m in queue.tolist())
        losses.append(-math.log(score(k) / (score(k) + negatives)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_info_nce_equals_the_slow_reference(dtype, tolerance):
    query, key, queue = (unit(n, 8, dtype=dtype, seed=n) for n in (5, 6, 20))
    key = key[:5]
    loss, logits = info_nce(query, key, queue, 0.07)
    assert loss.item() == pytest.approx(slow_info_nce(query, key, queue, 0.07), rel=tolerance)
    assert logits.shape == (5, 21) and logits.dtype == dtype
    torch.testing.assert_close(logits[:, 0], (query * key).sum(1) / 0.07)
    torch.testing.assert_close(logits[:, 1:], query @ queue.T / 0.07)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_unit_vectors(dtype):
    z = 1000 * torch.randn(5, 8).to(dtype)
    z[0] = 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        unit_z = unit_vectors(z)
    assert unit_z.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    slow = z[1:].double() / (z[1:].double() ** 2).sum(1, keepdim=True).sqrt()
    torch.testing.assert_close(unit_z[1:].double(), slow, rtol=1e-6, atol=1e-7)
    assert not unit_z[0].any()


def test_info_nce_closed_forms():
    query = torch.eye(4)[:2]
    away = torch.eye(4)[2:].repeat(3, 1)  # six negatives at a right angle
    loss = info_nce(query, query, away, 0.5).loss
    assert loss.item() == pytest.approx(math.log(1 + 6 * math.exp(-2)))
    assert info_nce(query, away[:2], away, 0.5).loss.item() == pytest.approx(math.log(7))


def test_gradient_reaches_the_query_alone():
    query, key, queue = (unit(n, 8).requires_grad_() for n in (3, 3, 9))
    info_nce(query, key, queue, 0.1).loss.backward()
    assert query.grad is not None and key.grad is None and queue.grad is None
    assert torch.autograd.gradcheck(lambda q: info_nce(q, key, queue, 0.1).loss, query)


def test_logits_stay_in_float32_under_autocast():
    query, key, queue = (unit(n, 128, dtype=torch.float32, seed=n) for n in (4, 4, 50))
    exact = info_nce(query, key, queue, 0.07)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = info_nce(query, key, queue, 0.07).logits
        columns = torch.zeros(4, 1, dtype=torch.int64)
        loss = multi_positive_nce([Logits(logits.bfloat16())], [columns])
        assert loss.dtype == torch.float32
    assert logits.dtype == torch.float32 and torch.equal(logits, exact.logits)
    assert info_nce(query.bfloat16(), key, queue, 0.07).logits.dtype == torch.float32


def test_large_logits_do_not_overflow():
    query = unit(2, 8, dtype=torch.float32)
    assert info_nce(query, -query, query, 1e-3).loss.isfinite()


def test_info_nce_of_the_published_network(golden):
    reference = golden("crossclr_skeletonclr")
    for case in reference.cases.values():
        given, expected = case["inputs"], case["outputs"]
        query, key = (normalize(expected[f"z:encoder_{side}"]) for side in "qk")
        loss, logits = info_nce(query, key, given["queue"].T, 0.07)
        largest = expected["logits"].abs().max()
        assert (logits - expected["logits"]).abs().max() <= 1e-5 * largest
        torch.testing.assert_close(loss, expected["loss_joint"], rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_multi_positive_equals_the_slow_reference(dtype):
    torch.manual_seed(0)
    blocks = [5 * torch.randn(6, length, dtype=dtype) for length in (12, 7)]
    positives = [torch.rand(6, 12).argsort(1)[:, :3], torch.rand(6, 7).argsort(1)[:, :2]]
    losses = []
    for n in range(6):
        rows = [block[n].tolist() for block in blocks]
        total = sum(math.exp(value) for row in rows for value in row)
        chosen = [row[c] for row, columns in zip(rows, positives, strict=True) for c in columns[n]]
        losses.append(-sum(math.log(math.exp(value) / total) for value in chosen) / 5)
    loss = multi_positive_nce([Logits(block) for block in blocks], positives)
    assert loss.item() == pytest.approx(sum(losses) / 6, rel=1e-5) and loss.dtype == dtype


def test_multi_positive_of_the_published_network(golden):
    checked = 0
    for case in golden("crossclr_3views").cases.values():
        outputs = case["outputs"]
        for name, logits in outputs.items():
            pair = name.removeprefix("logits_")
            if f"pos_mask_{pair}" in outputs:
                mask = outputs[f"pos_mask_{pair}"].bool()
                (count,) = set(mask.sum(1).tolist())
                columns = mask.nonzero()[:, 1].reshape(-1, count)
                loss = multi_positive_nce([Logits(logits)], [columns])
                torch.testing.assert_close(loss, outputs[f"loss_{pair}"].mean(), rtol=1e-5, atol=0)
                checked += 1
    assert checked == 4 * 6  # cases in the cross phase, ordered pairs of streams


def test_multi_positive_with_the_key_alone_is_info_nce():
    contrast = info_nce(unit(4, 8), unit(4, 8, seed=1), unit(30, 8, seed=2), 0.07)
    loss = multi_positive_nce([Logits(contrast.logits)], [torch.zeros(4, 1, dtype=torch.int64)])
    torch.testing.assert_close(loss, contrast.loss)


def test_multi_positive_of_an_impossible_negative():
    """A logit of minus infinity outside the positives must not turn the loss into NaN."""
    logits = torch.tensor([[1.0, 2.0, -math.inf]])
    loss = multi_positive_nce([Logits(logits)], [torch.tensor([[0, 1]])])
    assert loss.item() == pytest.approx(math.log(math.e + math.e**2) - 1.5)

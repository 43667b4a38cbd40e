import pytest
import torch

from skelray.platform.nn.queue import FeatureQueue


def rows(first, n, dim=4, dtype=torch.float32):
    """Row i holds the number first + i."""
    return torch.arange(first, first + n, dtype=dtype)[:, None].repeat(1, dim)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batches", [[3, 3, 3, 3, 3], [7], [7, 7, 7], [5, 9, 2], [23], [1, 30, 4]])
def test_equals_a_ring_written_row_by_row(batches, dtype):
    queue = FeatureQueue(7, 4).to(dtype)
    ring, written = queue.features.clone(), 0
    for n in batches:
        queue.enqueue(rows(written, n, dtype=dtype))
        for _ in range(n):
            ring[written % 7] = written
            written += 1
    assert torch.equal(queue.features, ring)
    assert queue.features.dtype == dtype
    assert queue.pointer == written % 7
    assert queue.filled == min(written, 7)


def test_starts_with_random_unit_rows():
    torch.manual_seed(0)
    queue = FeatureQueue(1000, 16)
    assert queue.features.shape == (1000, 16) and queue.size == 1000
    torch.testing.assert_close(queue.features.norm(dim=1), torch.ones(1000))
    assert queue.features.mean(0).abs().max() < 0.05
    assert queue.pointer == 0 and queue.filled == 0


def test_lives_in_the_state_and_takes_no_gradient():
    queue = FeatureQueue(5, 4)
    queue.enqueue(rows(1, 3).requires_grad_())
    other = FeatureQueue(5, 4)
    other.load_state_dict(queue.state_dict())
    assert set(queue.state_dict()) == {"features", "pointer", "filled"}
    assert torch.equal(other.features, queue.features) and other.pointer == 3
    assert not queue.features.requires_grad and not list(queue.parameters())


def test_queues_written_together_agree_on_positions():
    joint, motion = FeatureQueue(7, 4), FeatureQueue(7, 4)
    for first in (0, 5, 10):
        joint.enqueue(rows(first, 5))
        motion.enqueue(rows(first + 100, 5))
    assert torch.equal(joint.features + 100, motion.features)


def test_wrong_width_and_empty_queue():
    with pytest.raises(AssertionError):
        FeatureQueue(5, 4).enqueue(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="0 vectors of width 4"):
        FeatureQueue(0, 4)

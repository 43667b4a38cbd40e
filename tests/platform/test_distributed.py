"""Two gloo processes as one: BatchNorm, gathers and equal state against one process in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from skelray.platform import distributed
from skelray.platform.nn.batch_norm import BatchNorm, synchronise_batch_norm
from tests.toys import on_ranks

WORLD = 2
PIECES = 4  # rows of a rank
MOMENTA = (0.3, None)
REPEATS = (torch.tensor([1.0, 1, 1, 4]), torch.tensor([1.0, 1, 1, 2]))


def data(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rows_of_rank(whole: Tensor) -> Tensor:
    start = distributed.rank() * PIECES
    return whole[start : start + PIECES]


def batch_norm(momentum: float | None) -> nn.Sequential:
    network = nn.Sequential(nn.BatchNorm2d(3, momentum=momentum)).double()
    network[0].weight.data = data(3, seed=1)
    network[0].bias.data = data(3, seed=2)
    return network


def normalise(network: nn.Sequential, take: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Two training steps, then evaluation: outputs, gradients and state."""
    found: dict[str, Tensor] = {}
    for step in range(2):
        x = take(data(WORLD * PIECES, 3, 5, 2, seed=3 + step) * 4 + 7).requires_grad_()
        y = network(x)
        network.zero_grad()
        (y.square() * take(data(WORLD * PIECES, 3, 5, 2, seed=9))).sum().backward()
        found |= {f"output {step}": y.detach(), f"input gradient {step}": x.grad}
        found |= {
            f"{name} gradient {step}": p.grad.clone() for name, p in network[0].named_parameters()
        }
    found["evaluated"] = network.eval()(x).detach()
    return found | {f"state {name}": value for name, value in network.state_dict().items()}


def normalise_rows(momentum: float | None) -> dict[str, Tensor]:
    network = synchronise_batch_norm(batch_norm(momentum))
    assert isinstance(network[0], BatchNorm)
    return normalise(network, rows_of_rank)


def repeated_rows() -> dict[str, Tensor]:
    """Rows of which the last on each rank counts so often: another number on either."""
    norm = BatchNorm(3).double()
    x = rows_of_rank(data(WORLD * PIECES, 3, 5)).requires_grad_()
    y = norm(x, REPEATS[distributed.rank()])
    (y * rows_of_rank(data(WORLD * PIECES, 3, 5, seed=1))).sum().backward()
    return {"output": y.detach(), "gradient": x.grad, "running_var": norm.running_var}


def test_repeated_rows_over_ranks_are_those_of_the_whole_batch(
    on_each: list[dict[str, dict[str, Tensor]]],
) -> None:
    norm, counts = nn.BatchNorm1d(3).double(), torch.cat(REPEATS).long()
    x = data(WORLD * PIECES, 3, 5).requires_grad_()
    y = norm(x.repeat_interleave(counts, dim=0))
    gradient = data(WORLD * PIECES, 3, 5, seed=1) / counts[:, None, None]
    (y * gradient.repeat_interleave(counts, dim=0)).sum().backward()
    first = counts.cumsum(0) - counts
    expected = {"output": y.detach()[first], "gradient": x.grad}
    for name, value in expected.items():
        ours = torch.cat([found["repeats"][name] for found in on_each])
        torch.testing.assert_close(ours, value, rtol=1e-10, atol=1e-10, msg=name)
    torch.testing.assert_close(on_each[1]["repeats"]["running_var"], norm.running_var)


@pytest.mark.parametrize("momentum", MOMENTA)
def test_batch_norm_over_ranks_is_that_of_the_whole_batch(
    on_each: list[dict[str, dict[str, Tensor]]], momentum: float | None
) -> None:
    ranks = [found[f"batch norm {momentum}"] for found in on_each]
    for name, expected in normalise(batch_norm(momentum), lambda whole: whole).items():
        if name.startswith("state"):
            ours = ranks[0][name]
            torch.testing.assert_close(ranks[1][name], ours, rtol=0, atol=0)
        elif name.startswith(("weight", "bias")):  # what DDP sums
            ours = sum(rank[name] for rank in ranks)
        else:
            ours = torch.cat([rank[name] for rank in ranks])
        assert ours.dtype == expected.dtype, name
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10, msg=name)


def covariance_loss(x: Tensor, weight: Tensor, *, gather: Callable[[Tensor], Tensor]) -> Tensor:
    """Couples all rows."""
    z = gather(x @ weight)
    return (z.T @ z).square().sum() + (z + 1).sin().sum()


def gather_rows() -> dict[str, Tensor]:
    x = rows_of_rank(data(WORLD * PIECES, 3)).requires_grad_()
    weight = data(3, 2, seed=1).requires_grad_()
    covariance_loss(x, weight, gather=distributed.gather_with_gradient).backward()
    # autograd may hand an incoming gradient to others too: it must not be written to
    y = data(PIECES, 2).requires_grad_()
    incoming = torch.full((WORLD * PIECES, 2), distributed.rank() + 1.0, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(distributed.gather_with_gradient(y), y, incoming)
    found = {"x": x.grad, "weight": weight.grad, "y": gradient, "incoming": incoming}
    found["rows"] = distributed.all_gather_rows(rows_of_rank(data(WORLD * PIECES, 3)))
    found["mean"] = distributed.mean_over_ranks(torch.tensor(float(distributed.rank())))
    return found


def test_gathers_are_those_of_the_whole_batch(
    on_each: list[dict[str, dict[str, Tensor]]],
) -> None:
    ranks = [found["gather"] for found in on_each]
    x, weight = data(WORLD * PIECES, 3).requires_grad_(), data(3, 2, seed=1).requires_grad_()
    covariance_loss(x, weight, gather=lambda rows: rows).backward()
    # each rank computes the whole loss and DDP averages: the ranks' sum over world is the gradient
    ours = torch.cat([rank["x"] for rank in ranks]) / WORLD
    torch.testing.assert_close(ours, x.grad, rtol=1e-12, atol=1e-12)
    ours = sum(rank["weight"] for rank in ranks) / WORLD
    torch.testing.assert_close(ours, weight.grad, rtol=1e-12, atol=1e-12)
    for number, rank in enumerate(ranks):
        assert rank["y"].eq(1 + 2).all()
        assert rank["incoming"].eq(number + 1).all()
        assert torch.equal(rank["rows"], data(WORLD * PIECES, 3))
        assert rank["mean"] == 0.5


def common_loss(total: Tensor) -> Tensor:
    """What every rank computes from a sum over all ranks' rows."""
    return (total.square() + total.sin()).sum()


def sums_of_rows(total: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    x = rows_of_rank(data(WORLD * PIECES, 3)).requires_grad_()
    whole = total(x.square().sum(0))
    common_loss(whole).backward()
    return {"total": whole.detach(), "gradient": x.grad}


def test_a_sum_for_a_common_loss_has_the_gradient_of_the_whole_batch(
    on_each: list[dict[str, dict[str, Tensor]]],
) -> None:
    x = data(WORLD * PIECES, 3).requires_grad_()
    total = x.square().sum(0)
    common_loss(total).backward()
    for found in on_each:
        torch.testing.assert_close(found["sum"]["total"], total.detach(), rtol=1e-12, atol=1e-12)
        # what the other ranks would have sent back is known without asking them
        torch.testing.assert_close(found["sum"]["gradient"], found["asked"]["gradient"])
    ours = torch.cat([found["sum"]["gradient"] for found in on_each]) / WORLD  # DDP's mean
    torch.testing.assert_close(ours, x.grad, rtol=1e-12, atol=1e-12)


def compare_states() -> dict[str, str]:
    """What is said of states that differ in a weight, and later in a counter; none: not found."""
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        module[0].weight.fill_(distributed.rank())
    found = {"weight": complaint(module)}
    distributed.broadcast_state(module)
    found["broadcast"] = complaint(module)
    assert module[0].weight.eq(0).all()
    if distributed.rank() == 1:
        module[1].num_batches_tracked += 1
    return found | {"counter": complaint(module)}


def complaint(module: nn.Module) -> str:
    try:
        distributed.assert_equal_state(module)
    except RuntimeError as error:
        return str(error)
    return ""


def test_states_that_differ_are_found(on_each: list[dict[str, dict[str, str]]]) -> None:
    differs = "the state of ranks [1] differs from that of rank 0"
    for found in on_each:
        assert found["states"] == {"weight": differs, "broadcast": "", "counter": differs}


def work(folder: Path) -> None:
    """All that is tested on ranks, in one start of the processes."""
    found: dict[str, dict[str, Tensor] | dict[str, str]] = {
        f"batch norm {momentum}": normalise_rows(momentum) for momentum in MOMENTA
    }
    found |= {"gather": gather_rows(), "states": compare_states(), "repeats": repeated_rows()}
    found["sum"] = sums_of_rows(distributed.sum_for_common_loss)
    found["asked"] = sums_of_rows(distributed.sum_over_ranks)
    torch.save(found, folder / f"{distributed.rank()}.pt")


@pytest.fixture(scope="module")
def on_each(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    """What each rank found."""
    folder = tmp_path_factory.mktemp("ranks")
    on_ranks(WORLD, work, folder)
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


def test_a_single_process_is_the_identity() -> None:
    x = data(5, 3, 4, 2).requires_grad_()
    assert (distributed.world_size(), distributed.rank()) == (1, 0)
    for function in (
        distributed.gather_with_gradient,
        distributed.all_gather_rows,
        distributed.sum_over_ranks,
        distributed.sum_for_common_loss,
        distributed.mean_over_ranks,
    ):
        assert function(x) is x
    ours, theirs = synchronise_batch_norm(batch_norm(0.3)), batch_norm(0.3)
    torch.testing.assert_close(ours(x), theirs(x))
    distributed.assert_equal_state(ours)
    assert distributed.from_rank_zero(3) == 3


def test_synchronised_batch_norm_keeps_tensors_and_keys() -> None:
    network = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), nn.BatchNorm2d(3))
    network[1].eval()
    before = network.state_dict()
    again = synchronise_batch_norm(synchronise_batch_norm(network))
    after = again.state_dict()
    assert list(after) == list(before)
    assert all(after[key].data_ptr() == before[key].data_ptr() for key in before)
    assert again[0][1].training and not again[1].training
    with pytest.raises(ValueError, match="expected at least 2 dimensions, got 1"):
        again[1](torch.zeros(3))


def test_the_hash_sees_names_shapes_types_and_bytes() -> None:
    states = [
        {"a": torch.tensor([0.0])},
        {"a": torch.tensor([-0.0])},
        {"b": torch.tensor([0.0])},
        {"a": torch.tensor([[0.0]])},
        {"a": torch.tensor([0])},
        {"a": torch.tensor([0], dtype=torch.bfloat16)},
        {"a": torch.tensor(True)},
    ]
    assert len({distributed.state_hash(state) for state in states}) == len(states)
    pair = {"x": torch.zeros(2), "y": torch.ones(3)}
    assert distributed.state_hash(pair) == distributed.state_hash(dict(reversed(pair.items())))

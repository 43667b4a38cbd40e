import pytest
import torch

from skelray.platform.skeleton.graph import adjacency, hop_distances, tree_adjacency
from skelray.platform.skeleton.specs import COCO, KINECT_V2, SKELETONS


def slow_hops(skeleton):
    """Floyd and Warshall's shortest paths."""
    n = skeleton.n_joints
    d = [[0 if v == w else n + 1 for w in range(n)] for v in range(n)]
    for v, w in skeleton.edges:
        d[v][w] = d[w][v] = 1
    for k in range(n):
        for v in range(n):
            for w in range(n):
                d[v][w] = min(d[v][w], d[v][k] + d[k][w])
    return torch.tensor(d, dtype=torch.float64)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_hop_distances(skeleton):
    assert torch.equal(hop_distances(skeleton), slow_hops(skeleton))


def test_published_spatial_graph_of_kinect_v2():
    a = adjacency(KINECT_V2)
    assert a.shape == (3, 25, 25) and a.dtype == torch.float32
    further = {(1, 0): 1 / 4, (2, 3): 1 / 2, (4, 5): 1 / 3, (8, 9): 1 / 3}
    further |= {(20, w): 1 / 3 for w in (1, 2, 4, 8)}
    assert {tuple(vw) for vw in a[2].nonzero().tolist()} == set(further)
    for (v, w), value in further.items():
        assert a[2, v, w] == pytest.approx(value)
    assert a[1].count_nonzero() == 40
    assert torch.equal(a[0], torch.diag(a[0].diagonal())) and a[0].count_nonzero() == 25
    torch.testing.assert_close(a.sum((0, 1)), torch.ones(25))
    neighbours = {0: 4, 20: 5} | dict.fromkeys((3, 15, 19, 21, 23), 2)
    for joint in range(25):
        assert a[0, joint, joint] == pytest.approx(1 / neighbours.get(joint, 3))


def test_equal_to_the_published_buffer(golden):
    published = golden("crossclr_encoder_c16").fixed["A"]
    torch.testing.assert_close(adjacency(KINECT_V2), published, rtol=1e-7, atol=0)


@pytest.mark.parametrize("normalisation", ["column", "symmetric"])
@pytest.mark.parametrize(
    ("strategy", "max_hop", "subsets"),
    [
        ("uniform", 1, 1),
        ("uniform", 2, 1),
        ("distance", 2, 3),
        ("spatial", 1, 3),
        ("spatial", 3, 7),
    ],
)
@pytest.mark.parametrize("truncate", [True, False])
def test_strategies_split_the_normalised_matrix(
    strategy, max_hop, subsets, normalisation, truncate
):
    a = adjacency(
        KINECT_V2, strategy, max_hop=max_hop, normalisation=normalisation, truncate=truncate
    ).double()
    assert len(a) == subsets
    assert ((a != 0).sum(0) <= 1).all()  # each pair of joints in one subset
    near = (slow_hops(KINECT_V2) <= max_hop).double()
    degree = torch.diag(near.sum(0))
    whole = {
        "column": near @ degree.inverse(),
        "symmetric": degree.inverse().sqrt() @ near @ degree.inverse().sqrt(),
    }[normalisation]
    torch.testing.assert_close(a.sum(0), whole, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("truncate", [True, False])
def test_spatial_subsets_pair_by_pair(truncate):
    max_hop = 2
    a = adjacency(KINECT_V2, "spatial", max_hop=max_hop, truncate=truncate)
    hops = slow_hops(KINECT_V2)
    limit = max_hop if truncate else 99
    far = [min(int(h), limit + 1) for h in hops[20]]  # all beyond the limit alike
    for v in range(25):
        for w in range(25):
            hop = int(hops[v, w])
            if hop > max_hop:
                assert not a[:, v, w].any()
            else:
                subset = 0 if hop == 0 else 2 * hop - (far[v] >= far[w])
                assert a[:, v, w].nonzero().tolist() == [[subset]]


def test_a_skeleton_without_centre_needs_one():
    with pytest.raises(ValueError, match="skeleton coco has no centre joint"):
        adjacency(COCO)
    assert adjacency(COCO, centre=0).shape == (3, 17, 17)
    assert adjacency(COCO, "distance").shape == (2, 17, 17)


def test_unknown_arguments_are_named():
    with pytest.raises(
        ValueError, match="unknown strategy 'space': choose one of spatial, uniform"
    ):
        adjacency(KINECT_V2, "space")
    with pytest.raises(ValueError, match="unknown normalisation 'row': choose one of column, symm"):
        adjacency(KINECT_V2, normalisation="row")
    with pytest.raises(ValueError, match="max_hop is 0"):
        adjacency(KINECT_V2, max_hop=0)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_the_tree_by_parents_and_children(skeleton):
    itself, inward, outward = tree_adjacency(skeleton)
    assert torch.equal(itself, torch.eye(skeleton.n_joints))
    for joint, parent in enumerate(skeleton.parents):
        children = [c for c, p in enumerate(skeleton.parents) if p == joint != c]
        from_parent = {} if parent == joint else {parent: 1.0}
        assert entering(inward, joint) == from_parent
        assert entering(outward, joint) == pytest.approx({c: 1 / len(children) for c in children})


def entering(matrix, joint):
    """Which joints enter this one, with their weights."""
    return {v: w for v, w in enumerate(matrix[:, joint].tolist()) if w}


def test_the_tree_of_kinect_v2_is_the_published_one(golden):
    published = golden("skeleton_contrast_agcn").cases["graph"]["outputs"]["adjacency"]
    torch.testing.assert_close(tree_adjacency(KINECT_V2), published, rtol=1e-7, atol=0)

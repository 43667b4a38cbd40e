import numpy as np
import pytest
import torch

from skelray.platform.skeleton.specs import COCO, KINECT_V2
from skelray.platform.skeleton.streams import STREAMS, to_stream


def slow_stream(x, stream, skeleton):
    out = np.zeros_like(x)
    frames, joints = x.shape[2:4]
    for t in range(frames):
        for v in range(joints):
            if stream == "bone":
                out[:, :, t, v] = x[:, :, t, v] - x[:, :, t, dict(skeleton.bone_pairs)[v]]
            elif stream == "motion" and t < frames - 1:
                out[:, :, t, v] = x[:, :, t + 1, v] - x[:, :, t, v]
            elif stream == "joint":
                out[:, :, t, v] = x[:, :, t, v]
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("skeleton", [KINECT_V2, COCO], ids=lambda s: s.name)
def test_streams_equal_the_slow_reference(stream, skeleton, dtype):
    x = torch.randn(2, skeleton.dimensions, 5, skeleton.n_joints, 2, dtype=dtype)
    before = x.clone()
    out = to_stream(x, stream, skeleton)
    np.testing.assert_array_equal(out.numpy(), slow_stream(x.numpy(), stream, skeleton))
    assert torch.equal(x, before) and out.dtype == dtype


def test_ends():
    x = torch.randn(1, 3, 4, 25, 2)
    assert not to_stream(x, "motion", KINECT_V2)[:, :, -1].any()
    assert not to_stream(x, "bone", KINECT_V2)[:, :, :, 20].any()
    assert not to_stream(x[:, :, :1], "motion", KINECT_V2).any()


def test_wrong_input_is_named():
    x = torch.zeros(1, 3, 4, 25, 1)
    with pytest.raises(ValueError, match="unknown stream 'bones': choose one of joint, bone"):
        to_stream(x, "bones", KINECT_V2)
    with pytest.raises(ValueError, match="x holds 25 joints, skeleton coco has 17"):
        to_stream(x, "joint", COCO)

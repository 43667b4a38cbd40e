"""The NTU RGB+D annotation files of pyskl: HRNet's poses in 2D, and Kinect's as pyskl chose them.

Their ids are NTU's names, from which subject, camera and setup are read; classes and protocols are
NTU's. Protocols are by those numbers where the file's `split` says the same, else by its ids.
"""

from __future__ import annotations

from collections.abc import Mapping

from skelray.datasets.ntu.dataset import NTU60, NTU120, RecordingName
from skelray.datasets.pyskl.annotations import AnnotationFile
from skelray.platform.skeleton.specs import COCO, KINECT_V2

_LICENCE = (
    "download {} by the link in https://github.com/kennymckormick/pyskl, tools/data/README.md "
    "(the terms of NTU RGB+D hold: academic research only)"
)


class NTUAnnotations(AnnotationFile):
    """Annotations whose ids are NTU's names, SsssCcccPpppRrrrAaaa."""

    persons = 2
    fps = 30.0

    def numbers(self, recording: str) -> Mapping[str, int]:
        """The numbers in NTU's name; none where it is another."""
        name = RecordingName.parse(recording)
        if name is None:
            return {}
        numbers = name._asdict()
        return {"label": numbers.pop("action") - 1, **numbers}


class NTU60HRNet(NTUAnnotations):
    """NTU RGB+D: 17 key points in pixels of the 1920 x 1080 colour video, with scores."""

    name = "ntu60_hrnet"
    skeleton = COCO
    classes = NTU60.classes
    protocols = NTU60.protocols
    file_names = ("ntu60_hrnet*.pkl", "ntu60_2d*.pkl")
    licence = _LICENCE.format("ntu60_hrnet.pkl")


class NTU120HRNet(NTUAnnotations):
    """NTU RGB+D 120: 17 key points in pixels of the 1920 x 1080 colour video, with scores."""

    name = "ntu120_hrnet"
    skeleton = COCO
    classes = NTU120.classes
    protocols = NTU120.protocols
    file_names = ("ntu120_hrnet*.pkl", "ntu120_2d*.pkl")
    licence = _LICENCE.format("ntu120_hrnet.pkl")


class NTU60Kinect(NTUAnnotations):
    """NTU RGB+D: 25 joints in metres, at most two persons, chosen and cleaned by pyskl."""

    name = "ntu60_3danno"
    skeleton = KINECT_V2
    classes = NTU60.classes
    protocols = NTU60.protocols
    file_names = ("ntu60_3d*.pkl",)
    licence = _LICENCE.format("ntu60_3danno.pkl")


class NTU120Kinect(NTUAnnotations):
    """NTU RGB+D 120: 25 joints in metres, at most two persons, chosen and cleaned by pyskl."""

    name = "ntu120_3danno"
    skeleton = KINECT_V2
    classes = NTU120.classes
    protocols = NTU120.protocols
    file_names = ("ntu120_3d*.pkl",)
    licence = _LICENCE.format("ntu120_3danno.pkl")

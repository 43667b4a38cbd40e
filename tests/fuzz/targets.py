"""What the campaign damages: a valid raw folder for every reader."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skelray.datasets.ctrgcn.dataset import NTU60CTRGCN
from skelray.datasets.msr_action3d.dataset import MSRAction3D
from skelray.datasets.ntu.dataset import NTU60
from skelray.datasets.nwucla.dataset import NWUCLA
from skelray.datasets.pyskl.dataset import NTU60HRNet
from skelray.datasets.smarthome.dataset import Smarthome
from skelray.platform.dataset import Dataset
from skelray.platform.importing import ArrayFolder
from skelray.platform.skeleton.specs import MSR_ACTION3D

_RNG = np.random.default_rng(0)


class Own(ArrayFolder):
    """A user's arrays: three joints would be enough, twenty are what there is a skeleton for."""

    name = "own"
    skeleton = MSR_ACTION3D
    persons = 2
    classes = ("wave", "sit")


@dataclass(frozen=True)
class Target:
    """A reader and files that it reads whole."""

    name: str
    dataset: type[Dataset]
    files: Mapping[str, bytes]
    intact: tuple[str, ...] = ()  # files that are not damaged

    def write(self, raw: Path) -> list[str]:
        """Writes the folder; returns the files to be damaged."""
        raw.mkdir()
        for name, content in self.files.items():
            (raw / name).write_bytes(content)
        return [name for name in self.files if name not in self.intact]


def _skeleton(frames: int) -> bytes:
    lines = [str(frames)]
    for frame in range(frames):
        bodies = (1, 0, 2)[frame % 3]
        lines.append(str(bodies))
        for body in range(bodies):
            lines += [f"{72057594037931101 + body} 0 1 1 0 1 0 0.25 -0.5 2", "25"]
            for row in _RNG.normal(size=(25, 11)).round(5):
                lines.append(" ".join([*map(str, row), "2"]))
    return "\r\n".join(lines).encode()


def _nwucla(name: str) -> bytes:
    skeletons = _RNG.normal(size=(3, 20, 3)).round(4).tolist()
    return json.dumps({"file_name": name, "skeletons": skeletons, "label": 1}).encode()


def _smarthome(frames: int) -> bytes:
    def detection() -> dict[str, list[float]]:
        return {f"pose{c}d": _RNG.normal(size=13 * c).round(4).tolist() for c in (2, 3)}

    listed = [[detection() for _ in range((1, 0, 2)[frame % 3])] for frame in range(frames)]
    return json.dumps({"njts": 13, "K": 9, "frames": listed}).encode()


def _msr(frames: int) -> bytes:
    rows = _RNG.random(size=(20 * frames, 4)).round(4)
    return "\n".join(" ".join(map(str, row)) for row in rows).encode()


def _saved(save: Callable[..., None], *arrays: Any, **named: Any) -> bytes:
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


def _ctrgcn(save: Callable[..., None]) -> bytes:
    arrays: dict[str, np.ndarray] = {}
    for part, rows in (("train", 4), ("test", 3)):
        arrays[f"x_{part}"] = _RNG.normal(size=(rows, 5, 150)).astype(np.float32)
        arrays[f"y_{part}"] = np.eye(60)[np.arange(rows)]
    return _saved(save, **arrays)


def _annotations(protocol: int) -> bytes:
    annotations = [
        {
            "frame_dir": f"S001C001P001R001A{label + 1:03d}",
            "label": label,
            "total_frames": 4,
            "img_shape": (1080, 1920),
            "original_shape": (1080, 1920),
            "keypoint": _RNG.random(size=(2, 4, 17, 2)).astype(np.float16),
            "keypoint_score": _RNG.random(size=(2, 4, 17)).astype(np.float16),
        }
        for label in range(3)
    ]
    names = [annotation["frame_dir"] for annotation in annotations]
    split = {"xsub_train": names[:2], "xsub_val": names[2:]}
    return pickle.dumps({"split": split, "annotations": annotations}, protocol=protocol)


def _own() -> dict[str, bytes]:
    xyz = _RNG.normal(size=(4, 20, 3)).round(4)
    ids = ("a", "b", "c", "d")
    table = "id,label,subject,split\n" + "".join(f"{i},wave,{n},train\n" for n, i in enumerate(ids))
    return {
        "recordings.csv": table.encode(),
        "a.npy": _saved(np.save, xyz),
        "b.npz": _saved(np.savez, xyz=xyz),
        "c.csv": "\n".join(",".join(map(str, row.ravel())) for row in xyz).encode(),
        "d.json": json.dumps(xyz.tolist()).encode(),
    }


def _zipped(files: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"folder/{name}", content)
    return file.getvalue()


def _all() -> list[Target]:
    skeletons = {f"S001C001P001R001A{n:03d}.skeleton": _skeleton(n) for n in (3, 6)}
    nwucla = {f"{name}.json": _nwucla(name) for name in ("a01_s01_e00_v01", "a01_s01_e01_v01")}
    smarthome = {f"Enter_p02_r00_v0{n}_c01.json": _smarthome(n) for n in (2, 3)}
    msr = {f"a01_s0{n}_e01_skeleton3D.txt": _msr(n) for n in (2, 3)}
    return [
        Target("ntu", NTU60, skeletons),
        Target("ntu_zip", NTU60, {"a.zip": _zipped(skeletons), "b.zip": _zipped(skeletons)}),
        Target("nwucla", NWUCLA, nwucla),
        Target("smarthome", Smarthome, smarthome),
        Target("msr_action3d", MSRAction3D, msr),
        Target("ctrgcn_stored", NTU60CTRGCN, {"NTU60_CS.npz": _ctrgcn(np.savez)}),
        Target("ctrgcn_compressed", NTU60CTRGCN, {"NTU60_CV.npz": _ctrgcn(np.savez_compressed)}),
        Target("pyskl", NTU60HRNet, {"ntu60_hrnet.pkl": _annotations(4)}),
        Target("pyskl_old", NTU60HRNet, {"ntu60_hrnet.pkl": _annotations(2)}),
        Target("own", Own, _own()),
        Target("own_zip", Own, {"own.zip": _zipped(_own())}),
    ]


TARGETS = {target.name: target for target in _all()}

"""Features of a checkpoint, extracted once by a Ray Data actor pool and cached by sample id.

The pool reads row numbers only; its actors open the caches and the checkpoint themselves. Answers
come back in any order and are put in place by their row number.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
import torch
from torch import Tensor

from skelray.platform import paths
from skelray.platform.cluster import connected
from skelray.platform.data.cache import Cache
from skelray.platform.data.parts import Part
from skelray.platform.data.source import Source
from skelray.platform.distributed import state_hash
from skelray.platform.errors import CheckpointError, DataError
from skelray.platform.evaluation.labelled import Labelled
from skelray.platform.evaluation.scores import as_column, as_matrix, read_table, write_table
from skelray.platform.method import Method, Views
from skelray.platform.progress import progress_bar
from skelray.platform.training.allocation import keep_freed_memory
from skelray.platform.training.build import load_method
from skelray.platform.training.checkpoint import Checkpoint

RAW = "raw"  # the one output of `raw_features`
ACTOR_CPUS = 0.5  # that Ray reserves for an actor of the pool


@dataclass(frozen=True, kw_only=True)
class Features:
    """Features of the n recordings of a part, in the order of the data set's index."""

    id: np.ndarray  # (n,) str
    values: Mapping[str, np.ndarray]  # output -> (n, D) float32
    label: np.ndarray  # (n,) int64, -1 where unknown
    subject: np.ndarray  # (n,) int64, -1 where unknown
    camera: np.ndarray  # (n,) int64, -1 where unknown

    def __len__(self) -> int:
        return len(self.id)

    def labelled(self, *outputs: str) -> Labelled:
        """The recordings whose label is known, with the features of these outputs side by side.

        DataError where there are none.
        """
        known = self.label >= 0
        if not known.any():
            raise DataError("no recording of this part has a label: nothing can be evaluated on it")
        each = [self.values[output][known] for output in outputs]
        return Labelled(
            features=torch.from_numpy(np.concatenate(each, axis=1)),
            label=torch.from_numpy(self.label[known]),
            subject=torch.from_numpy(self.subject[known]),
            widths=tuple(values.shape[1] for values in each),
        )


def extract(
    checkpoint: Path,
    source: Source,
    parts: Sequence[Part],
    *,
    outputs: Sequence[str],
    batch: int,
    workers: int,
    num_cpus: float = ACTOR_CPUS,
    num_gpus: float | None = None,
) -> dict[Part, Features]:
    """Features of these parts under the weights of `checkpoint`, without augmentation.

    `workers` actors of `num_cpus` and `num_gpus` each take batches of `batch` recordings; what is
    cached below SKELRAY_HOME needs no Ray. RuntimeError where the method changes its own state,
    CheckpointError where a feature is not finite.
    """
    method = load_method(checkpoint)
    cache = _first_cache(source, method, outputs[0])
    rows = {part: source.rows(cache.index, part) for part in parts}
    files = {
        (part, name): _cache_file(checkpoint, source, method, rows[part], name)
        for part in parts
        for name in outputs
    }
    if missing := {wanted: file for wanted, file in files.items() if not file.exists()}:
        needed = np.unique(np.concatenate([rows[part] for part, _ in missing]))
        names = sorted({name for _, name in missing})
        actor = {"checkpoint": checkpoint, "source": source, "outputs": names}
        for name in names:
            batch = source.largest_batch(method.inputs(name), batch)
        size = min(workers, -(-len(needed) // batch))
        with connected():
            pool = _pool(size, num_cpus, num_gpus)
            found = _run_pool(method, needed, batch, actor, pool)
        for (part, name), file in missing.items():
            values = found[name][np.searchsorted(needed, rows[part])]
            if not np.isfinite(values).all():
                raise CheckpointError(f"{checkpoint} gives features {name!r} that are not finite")
            _write(file, cache.index["id"][rows[part]], values)
    return {
        part: _cached(cache, rows[part], {n: files[part, n] for n in outputs}) for part in parts
    }


def _cached(cache: Cache, rows: np.ndarray, files: Mapping[str, Path]) -> Features:
    ids = cache.index["id"][rows]
    return _described(cache, rows, {name: _read(file, ids) for name, file in files.items()})


def raw_features(source: Source, method: Method, part: Part) -> Features:
    """What the encoder of the method's first output sees, flattened to (n, C·T·V·M); no Ray."""
    output = next(iter(method.outputs))
    cache = _first_cache(source, method, output)
    pieces = []
    for views in part_views(source, method, output, part, batch=256):
        flat = [view.flatten(1) for view in views.values() if view.is_floating_point()]
        pieces.append(torch.cat(flat, dim=1).numpy())
    return _described(cache, source.rows(cache.index, part), {RAW: np.concatenate(pieces)})


@torch.no_grad()
def part_views(
    source: Source, method: Method, output: str, part: Part, *, batch: int
) -> Iterator[Views]:
    """The views of one output over a part, on the CPU, in nearly equal batches up to `batch`."""
    data = source.data(method.inputs(output), torch.device("cpu"))
    rows = source.rows(_first_cache(source, method, output).index, part)
    for chunk in _chunks(rows, source.largest_batch(method.inputs(output), batch)):
        yield method.eval_views(data.batch(chunk, labels=False), output)


@torch.no_grad()
def over_part(
    source: Source,
    method: Method,
    output: str,
    part: Part,
    ask: Callable[[Method, Views], Sequence[Tensor]],
) -> Iterator[list[Tensor]]:
    """What `ask` gets from the method for the views of a part, batch by batch; no Ray.

    It is asked in eval mode and on a GPU where there is one; the answers lie on the CPU.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    asked = copy.deepcopy(method).to(device).eval()
    for views in part_views(source, method, output, part, batch=64):
        answers = ask(asked, {name: view.to(device) for name, view in views.items()})
        yield [answer.cpu() for answer in answers]


def _chunks(rows: np.ndarray, batch: int) -> list[np.ndarray]:
    return np.array_split(rows, -(-len(rows) // batch))


def _first_cache(source: Source, method: Method, output: str) -> Cache:
    return next(iter(source.caches(method.inputs(output)).values()))


def _described(cache: Cache, rows: np.ndarray, values: Mapping[str, np.ndarray]) -> Features:
    known = {name: cache.index[name][rows] for name in ("id", "label", "subject", "camera")}
    return Features(values=values, **known)


class _Extractor:
    """One actor of the pool: the method in eval mode on this actor's device, the caches mapped."""

    def __init__(self, checkpoint: Path, source: Source, outputs: Sequence[str]) -> None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if device.type == "cpu":
            keep_freed_memory()
        self.method = load_method(checkpoint).to(device).eval().requires_grad_(False)
        self.data = {
            # every frame is read once: a copy of all of them on the device would not pay
            name: source.data(self.method.inputs(name), device)
            for name in outputs
        }

    @torch.no_grad()
    def __call__(self, table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        answer = {"row": table["row"]}
        for name, data in self.data.items():
            views = self.method.eval_views(data.batch(table["row"], labels=False), name)
            answer[name] = self.method.features(views, [name])[name].float().cpu().numpy()
        state = state_hash(self.method.state_dict())
        return {**answer, "state": np.full(len(table["row"]), state)}


def _pool(size: int, num_cpus: float, num_gpus: float | None) -> dict[str, Any]:
    """Ray Data's settings of `size` actors, which share the GPUs unless a number is asked for."""
    present = ray.cluster_resources().get("GPU", 0.0)
    gpus = min(1.0, present / size) if num_gpus is None else num_gpus
    compute = ray.data.ActorPoolStrategy(size=size)
    return {"compute": compute, "num_cpus": num_cpus, "num_gpus": gpus}


def _run_pool(
    method: Method,
    rows: np.ndarray,
    batch: int,
    actor: Mapping[str, Any],
    pool: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """Features (n, D) by output, in the order of `rows`, which ascend."""
    frozen = state_hash(method.state_dict())
    found: dict[str, np.ndarray] = {}
    filled = np.zeros(len(rows), dtype=bool)
    tables = [pa.table({"row": chunk}) for chunk in _chunks(rows, batch)]  # one block per batch
    with progress_bar("extract features", len(rows), "recordings") as bar:
        stream = ray.data.from_arrow(tables).map_batches(
            _Extractor, fn_constructor_kwargs=dict(actor), batch_size=None, **pool
        )
        for answer in stream.iter_batches(batch_size=None):
            if set(answer.pop("state")) != {frozen}:
                raise RuntimeError(
                    f"{type(method).__name__} changed its parameters or buffers while its "
                    "features were extracted: it is not frozen"
                )
            places = np.searchsorted(rows, answer.pop("row"))
            for name, values in answer.items():
                if name not in found:
                    found[name] = np.empty((len(rows), values.shape[1]), np.float32)
                found[name][places] = values
            filled[places] = True
            bar.update(len(places))
    assert filled.all()
    return found


def _cache_file(
    checkpoint: Path, source: Source, method: Method, rows: np.ndarray, output: str
) -> Path:
    """Named by everything the features depend on."""
    config = Checkpoint.open(checkpoint).about["config"]
    inputs = method.inputs(output)
    decides = [
        paths.file_hash(checkpoint / "state.pt"),
        [config["name"], config["method"]],  # equal weights may read another stream
        {name: preprocessing.key() for name, preprocessing in inputs.skeletons.items()},
        *([asdict(inputs.clip)] if inputs.clip else []),
        source.version,
        hashlib.sha256(rows.tobytes()).hexdigest(),
        output,
    ]
    text = json.dumps(decides, sort_keys=True)
    return paths.caches() / "features" / f"{hashlib.sha256(text.encode()).hexdigest()}.parquet"


def _write(path: Path, ids: np.ndarray, values: np.ndarray) -> None:
    write_table(path, pa.table({"id": ids, "features": as_column(values)}))


def _read(path: Path, ids: np.ndarray) -> np.ndarray:
    """The features (n, D) of these recordings; DataError where the file is damaged."""
    table = read_table(path)
    assert np.array_equal(table.column("id").to_numpy(), ids)
    return as_matrix(table.column("features"))

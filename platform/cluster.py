"""The connection to Ray: the cluster one is in (job or started cluster), or one on this machine."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

# faster end of a Train run: the controller looks after its workers this often (default 2 s)
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its warnings speak to Ray's developers
os.environ.setdefault("RAY_DISABLE_DOCKER_CPU_WARNING", "1")
# workers are what runs here for; Ray would let everything else on the machine come first (15)
os.environ.setdefault("RAY_worker_niceness", "0")
# Ray would print the machine's stack on SIGTERM, which is no failure; faulthandler stays
os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")

import ray
import ray.data
from ray._private.resource_and_label_spec import ResourceAndLabelSpec

from skelray.platform import paths
from skelray.platform.errors import UsageError

_LOG = logging.getLogger(__name__)
_abandoned = threading.Event()

# the label by which `ray up`, KubeRay and others name the kind of a node that they have started
_NODE_GROUP = "ray.io/node-group"


@contextmanager
def connected(check: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Ray for the time of a `with`; what was started here is stopped here.

    `check` raises where Ray has too little for what follows (`require_room`). It is asked before
    Ray is started on this machine, and once one is in a cluster. UsageError where SKELRAY_HOME
    cannot be written.
    """
    require_home()
    if ray.is_initialized():
        check()
        yield
        return
    inside = bool(os.environ.get("RAY_ADDRESS"))
    if not inside:
        check()
        # this machine is not taken away with a warning, so nothing need watch out for that
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    with _own_signals(), _without_level_line():
        ray.init(
            address="auto" if inside else "local",
            include_dashboard=None if inside else False,
            logging_level=logging.ERROR,
            log_to_driver=False,  # workers' logs are in Ray's session folder; errors reach us
            runtime_env=_environment(),
        )
    _quiet()
    try:
        if inside:
            check()
        yield
    finally:
        if not _abandoned.is_set():
            ray.shutdown()


def abandon() -> None:
    """Leaves Ray to the end of the process, as a thread still waits for it.

    Shutting down under that thread may end the process at once, before anybody has said why.
    """
    _abandoned.set()


def require_home() -> None:
    """UsageError unless SKELRAY_HOME is a folder, or can be made one, that can be written."""
    home = paths.home()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise UsageError(
            f"SKELRAY_HOME={home} cannot be written ({error.strerror}): set SKELRAY_HOME to a "
            "folder of yours, on storage that all nodes share"
        ) from None


def require_room(
    what: str, *, workers: int, cpus: float, gpus: float = 0.0, reading: float = 0.0
) -> None:
    """UsageError where Ray cannot place these workers, which would wait for it forever.

    Each takes `cpus` and `gpus` on one node, and `reading` CPUs on any for tasks that feed it.
    `what` is their section of the configuration: its keys `workers`, `cpus_per_worker` and
    `gpus_per_worker` are named. Where a launcher (`ray up`, KubeRay) starts nodes as they are
    needed, what is missing may still come: it is said.
    """
    if gpus > 1 and gpus % 1:
        raise UsageError(f"{what}.gpus_per_worker={gpus:g}: give a whole number, or a part of one")
    missing = lack(what, workers=workers, cpus=cpus, gpus=gpus, reading=reading)
    if missing and not _launched():
        raise UsageError(missing)
    if missing:
        _LOG.warning("%s, unless the cluster starts nodes", missing)


def lack(what: str, *, workers: int, cpus: float, gpus: float = 0.0, reading: float = 0.0) -> str:
    """What is missing for the workers of `require_room` at this moment; empty where nothing is."""
    nodes = _nodes()
    room = _room(nodes, cpus, gpus, reading)
    if room >= workers:
        return ""
    share = [_count(cpus, "CPU"), *([_count(gpus, "GPU")] if gpus else [])]
    share += [f"{_count(reading, 'CPU')} to read"] if reading else []
    return (
        f"{what} needs {_count(workers, 'worker')} with {' and '.join(share)}"
        f"{' each' if workers > 1 else ''}, there is room for {room or 'none'} "
        f"({_described(nodes)}): {_remedy(what, nodes, room, gpus, reading)}"
    )


def gpus_per_worker(asked: float | None, workers: int, cpus: float) -> float:
    """GPUs each worker gets: what was asked for, else one where there is now one for each."""
    if asked is not None:
        return asked
    return 1.0 if _room(_nodes(), cpus, 1.0) >= workers else 0.0


class _Node(NamedTuple):
    cpus: float
    gpus: float


def _nodes() -> list[_Node]:
    """What every node offers in all; before Ray is there, what it will find on this machine."""
    if ray.is_initialized():
        leaving = _leaving()
        nodes = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in leaving]
        offers = [node["Resources"] for node in nodes]
        return [_Node(each.get("CPU", 0.0), each.get("GPU", 0.0)) for each in offers]
    assert not os.environ.get("RAY_ADDRESS"), "a cluster is asked once it is connected"
    here = ResourceAndLabelSpec().resolve(is_head=True, node_ip_address="127.0.0.1")
    return [_Node(here.num_cpus or 0.0, here.num_gpus or 0.0)]


def _leaving() -> Mapping[str, int]:
    """Ids of nodes that are being drained, as Ray Train asks for them: nothing is placed there."""
    draining: Mapping[str, int] = ray._private.state.state.get_draining_nodes()
    return draining


def _room(nodes: list[_Node], cpus: float, gpus: float, reading: float = 0.0) -> int:
    """How many workers with these shares can be placed at once."""
    held = 0
    for node in nodes:
        by_gpu = math.inf
        if gpus:  # a part of a GPU is a part of one
            by_gpu = node.gpus * _times(1.0, gpus) if gpus < 1 else _times(node.gpus, gpus)
        held += int(min(_times(node.cpus, cpus), by_gpu))
    return min(held, _times(sum(node.cpus for node in nodes), cpus + reading))


def _times(whole: float, part: float) -> int:
    """How often `part` goes into `whole`: 3 times for 0.3 and 0.1."""
    return math.floor(whole / part + 1e-6)


def _launched() -> bool:
    """True where a launcher has started nodes, and so may start others."""
    return ray.is_initialized() and any(
        _NODE_GROUP in node["Labels"] for node in ray.nodes() if node["Alive"]
    )


def _remedy(what: str, nodes: list[_Node], room: int, gpus: float, reading: float) -> str:
    """The nearest setting that can be placed."""
    if room:
        return f"set {what}.workers={room}"
    most_gpus = max((node.gpus for node in nodes), default=0.0)
    if gpus > most_gpus:
        return f"set {what}.gpus_per_worker={most_gpus:g}"
    most = max((node.cpus for node in nodes if node.gpus >= gpus), default=0.0) - reading
    return f"set {what}.cpus_per_worker={most:g}" if most > 0 else "start nodes with CPUs"


def _described(nodes: list[_Node]) -> str:
    kinds = Counter(nodes).items()
    return ", ".join(
        f"{_count(number, 'node')} with {_count(node.cpus, 'CPU')} and {_count(node.gpus, 'GPU')}"
        for node, number in kinds
    )


def _count(number: float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"


def _environment() -> dict[str, dict[str, str]]:
    """What workers must share with the driver, but for what the submitted job says already."""
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    given = (job.get("runtime_env") or {}).get("env_vars") or {}
    names = ("SKELRAY_HOME", "MLFLOW_TRACKING_URI", "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S")
    shared = {name: os.environ[name] for name in names if name in os.environ and name not in given}
    if "SKELRAY_HOME" in shared:
        shared["SKELRAY_HOME"] = os.fspath(paths.home())  # workers run in folders of Ray's
    return {"env_vars": shared}


def _quiet() -> None:
    """Ray Data's own bars and plans are for its developers; skelray shows its own progress."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # a page about each process that dies: of what follows from it, skelray speaks itself
    ray._private.worker.print_to_stdstream = _log_to_file


def _log_to_file(data: Mapping[str, Any], *_: object, **__: object) -> None:
    logging.getLogger("ray").info("%s", "\n".join(map(str, data["lines"])))


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keeps what SIGTERM does: Ray's handler ends with a status that says nothing of the signal."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _without_level_line() -> Iterator[None]:
    """Takes one line out of standard error: Ray's, that RAY_BACKEND_LOG_LEVEL is set.

    Its C++ part writes it past Python, at a level below the one that is set.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        terminal = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            held.seek(0)
            os.write(2, b"".join(line for line in held if b"RAY_BACKEND_LOG_LEVEL" not in line))

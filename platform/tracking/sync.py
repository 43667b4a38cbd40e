"""`skelray sync`: fills MLflow from run folders after it was away, or a run was killed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from skelray.platform import paths
from skelray.platform.errors import SkelrayError
from skelray.platform.tracking import store
from skelray.platform.tracking.logged_model import push_model
from skelray.platform.tracking.mlflow_run import EVALUATIONS, METRICS, MlflowRun, read_records
from skelray.platform.tracking.probe import UNREACHABLE, probe, reason
from skelray.platform.tracking.run_file import RunFile
from skelray.platform.training.checkpoint import latest
from skelray.platform.training.lock import held, only_one


def run_folders() -> list[Path]:
    """All runs below SKELRAY_HOME, also those set aside by `--fresh`.

    Not what has but locks, and no imported weights that nobody has measured yet.
    """
    folders = sorted(path for path in paths.runs().glob("*") if path.is_dir())
    return [
        folder
        for folder in folders
        if {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        - {"checkpoints"}
    ]


def sync(folders: Sequence[Path]) -> Iterator[str]:
    """Brings to MLflow what it lacks of the runs in `folders`, their classifiers and transfers.

    Says in a line for each what that was.

    A run that cannot be brought is named and skipped. SkelrayError where the store is away, or in
    the end where runs were skipped.
    """
    _require_store()
    skipped = 0
    runs = [
        (str(own.relative_to(folder.parent)), own)
        for folder in folders
        for own in (folder, *_parts_of(folder))
    ]
    for name, folder in runs:
        try:
            brought = ", ".join(_fill(folder)) or "up to date"
        except (SkelrayError, *UNREACHABLE) as error:
            _require_store()
            skipped += 1
            brought = f"skipped: {error if isinstance(error, SkelrayError) else reason(error)}"
        yield f"{name}: {brought}"
    if skipped:
        raise SkelrayError(f"{skipped} of {len(runs)} runs skipped, see above")


def _parts_of(run: Path) -> list[Path]:
    """The folders of what was trained and measured on a run's encoder, which MLflow knows too."""
    transfers = sorted(paths.transfers(run).glob("*"))
    return [
        *sorted(paths.classifiers(run).glob("*")),
        *(own for one in transfers for own in (one, *sorted(paths.classifiers(one).glob("*")))),
    ]


def _require_store() -> None:
    uri = store.tracking_uri()
    try:
        probe(uri)
    except UNREACHABLE as error:
        raise SkelrayError(
            f"MLflow at {uri} does not answer ({reason(error)}): give the same command again when "
            "it is back"
        ) from None


def _fill(folder: Path) -> Iterator[str]:
    """Brings what is missing of one run, naming it."""
    RunFile.read(folder)  # before a lock is put into what is no run
    if held(folder, "run"):
        yield "under way, its own process keeps MLflow up to date"
        return
    with only_one(folder, "run"):
        run = MlflowRun(folder, RunFile.read(folder))
        if run.file.status == "RUNNING":  # and yet nobody works on it
            run.file.end("KILLED", at=_last_sign(folder))
            run.keep()
        created = run.open()
        if run.describe():
            yield "a new run with its settings" if created else "its settings"
        if run.push_status():
            yield f"status {run.file.status}"
        yield from _fill_from_files(run)


def _fill_from_files(run: MlflowRun) -> Iterator[str]:
    checkpoint = latest(run.folder / "checkpoints")
    if checkpoint and (records := run.push_metrics(checkpoint.step)):
        yield _count(len(records), "epoch")
    if records := run.push_evaluations():
        yield _count(sum(len(record.metrics) for record in records), "figure")
        if pictures := sum(len(record.pictures) for record in records):
            yield _count(pictures, "picture")
    evaluated = {record.step for record in read_records(run.folder / EVALUATIONS)}
    if (
        checkpoint
        and checkpoint.finished
        and checkpoint.step in evaluated
        and push_model(run, checkpoint)
    ):
        yield "the model"


def _last_sign(folder: Path) -> float | None:
    """When a killed run wrote its last record; None where it wrote none."""
    records = [r for name in (METRICS, EVALUATIONS) for r in read_records(folder / name)]
    return max((record.time for record in records), default=None)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"

"""Sets the status of a run whose process was killed: SIGKILL, out of memory.

A process of its own waits for the end of a pipe from the run's process. It is nobody's child and in
no group of the run's, as those are killed together; it holds neither lock nor terminal.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_FAREWELL = b"ended"


class Guardian:
    """The waiting process, started by the process that it is for."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(folder.resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},  # finds what this one does
        )

    def dismiss(self) -> None:
        """The run has set its status itself: nothing is left to be done."""
        self._process.communicate(_FAREWELL)


def main() -> None:
    """Waits for the farewell, or for the end of the process that should have given it."""
    if os.fork():  # an orphan: a job's end is the end of all children of its processes
        os._exit(0)
    if sys.stdin.buffer.read() != _FAREWELL:
        set_status(Path(sys.argv[1]))


def set_status(folder: Path) -> None:
    """Ends the run in MLflow, unless it has ended there or another process goes on with it.

    Where the store is away, `skelray sync` does so later.
    """
    # MLflow is large, and most who wait are dismissed
    from skelray.platform.tracking.mlflow_run import MlflowRun
    from skelray.platform.tracking.run_file import RunFile
    from skelray.platform.training.lock import held

    run = MlflowRun(folder, RunFile.read(folder))
    if run.find() and run.is_running and not held(folder, "run"):
        if run.file.status == "RUNNING":  # else it was killed on its way to tell MLflow
            run.file.end("KILLED")
        run.push_status()


if __name__ == "__main__":
    main()

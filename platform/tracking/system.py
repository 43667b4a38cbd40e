"""CPU, memory, disk, network and GPUs of the driver's machine, sampled into an MLflow run."""

from __future__ import annotations

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from skelray.platform.tracking import store

_SECONDS = 10.0


def start_monitor(run_id: str) -> SystemMetricsMonitor:
    """A thread that logs `system/…` every 10 seconds until its `finish` is called.

    Steps go on where the run's earlier samples end. The thread ends for good when the store is away once.
    GPUs are seen where `nvidia-ml-py` is installed.
    """
    monitor = SystemMetricsMonitor(
        run_id, sampling_interval=_SECONDS, resume_logging=True, tracking_uri=store.tracking_uri()
    )
    monitor.start()
    return monitor

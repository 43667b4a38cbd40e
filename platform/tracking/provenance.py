"""What a run was made with: commit, packages, machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

import skelray


def git_tags(root: Path | None = None) -> dict[str, str]:
    """`git_sha` and `git_dirty` of skelray's own repository; empty where it is no checkout.

    A Ray job's working directory, an installed wheel and a machine without git have none. A
    repository that merely surrounds the installation says nothing about skelray.
    """
    root = root or Path(skelray.__file__).resolve().parents[1]
    if _git(root, "rev-parse", "--show-toplevel") != str(root):
        return {}
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {"git_sha": commit, "git_dirty": str(bool(changed)).lower()}


def _git(root: Path, *arguments: str) -> str | None:
    """Output of a git command; None where it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def environment() -> dict[str, Any]:
    """Python, machine, devices and all installed packages of this process."""
    packages = {
        str(found.metadata["Name"]): found.version for found in importlib.metadata.distributions()
    }
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "torch_cuda": torch.version.cuda,
        "cuda_devices": [
            torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())
        ],
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }

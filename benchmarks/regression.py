"""Has anything become slower? `make bench`, that is `python benchmarks/regression.py`.

Runs every benchmark that measures ratios and says which moved by more than a fifth from those that
`benchmarks/ratios.json` holds (larger is better in all of them); status 1 where one fell. `--store`
writes what was measured there instead. Ratios compare two ways of doing the same in one run, so
that they can be compared between machines of one kind; stored ones are of two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
STORED = HERE / "ratios.json"
SCRIPTS = (
    "training_step.py",
    "streams.py",
    "views.py",
    "probes.py",
    "prepare.py",
    "clips.py",
    "whole_run.py",
)
MOVED = 0.2

Ratios = Mapping[str, float]


def measured(script: str) -> dict[str, float]:
    """Runs a benchmark, whose output is shown, and returns its ratios."""
    print(f"== {script}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ratios.json"
        subprocess.run([sys.executable, HERE / script, "--ratios", file], check=True)
        ratios: dict[str, float] = json.loads(file.read_text())
        return ratios


def compared(stored: Mapping[str, Ratios], now: Mapping[str, Ratios]) -> tuple[list[str], bool]:
    """A line per ratio that has moved, is new or is gone; and whether any fell."""
    lines, fell = [], False
    for script, ratios in now.items():
        before = stored.get(script, {})
        for name in {**before, **ratios}:
            if name not in before:
                lines.append(f"new: {script}: {name}: {ratios[name]:.3g}")
            elif name not in ratios:
                lines.append(f"no longer measured: {script}: {name}")
            elif abs(change := ratios[name] / before[name] - 1) > MOVED:
                lines.append(
                    f"{'fell' if change < 0 else 'rose'} by {abs(change):.0%}: {script}: {name}: "
                    f"{before[name]:.3g} -> {ratios[name]:.3g}"
                )
                fell = fell or change < 0
    return lines, fell


def main() -> None:
    """Measures, compares, says what moved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", action="store_true", help="keep what is measured")
    parser.add_argument("--only", nargs="+", default=SCRIPTS, choices=SCRIPTS)
    given = parser.parse_args()
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    now = {script: measured(script) for script in given.only}
    lines, fell = compared(stored, now)
    print("== compared with the stored ratios")
    print("\n".join(lines) or f"nothing moved by more than {MOVED:.0%}")
    if given.store:
        kept = {**stored, **now}
        ordered = {script: kept[script] for script in SCRIPTS if script in kept}
        STORED.write_text(json.dumps(ordered, indent=1) + "\n")
    elif fell:
        sys.exit(1)


if __name__ == "__main__":
    main()

"""One configuration under several seeds, and what its figures come to."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from skelray.platform import cluster, paths
from skelray.platform.config import RunConfig
from skelray.platform.data.source import Source
from skelray.platform.evaluation.results import Evaluation, summary
from skelray.platform.preparation import check_data
from skelray.platform.runner import make_ready, run


def run_seeds(
    config: RunConfig, count: int, *, fresh: bool = False
) -> tuple[Path, list[Evaluation]]:
    """`run` for `count` seeds from `config.seed` on; the summary's file and all figures.

    Runs that are there already are not repeated unless `fresh`, so the same command without it goes
    on where it stopped. The summary is written after every run.
    """
    check_data(config.data)
    seeds = range(config.seed, config.seed + count)
    found: dict[int, tuple[Path, Evaluation]] = {}
    with cluster.connected(partial(make_ready, config)):
        for number, seed in enumerate(seeds, start=1):
            print(f"seed {seed}: run {number} of {count}", flush=True)
            found[seed] = run(config.model_copy(update={"seed": seed}), fresh=fresh)
            configuration = config.identity(Source.open(config.data).version, seeded=False)
            name = f"{config.name}-{config.experiment}-{configuration}"
            file = paths.summaries() / f"{name}-seeds-{seeds[0]}-{seeds[-1]}.json"
            tree = {
                "runs": {str(seed): str(folder) for seed, (folder, _) in found.items()},
                "figures": summary([evaluation for _, evaluation in found.values()]),
            }
            paths.write_json(file, tree)
    return file, [evaluation for _, evaluation in found.values()]

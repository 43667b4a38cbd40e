"""One configuration under several seeds, and what its figures come to."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from skelray.platform import cluster, paths
from skelray.platform.config import RunConfig
from skelray.platform.data.source import Source
from skelray.platform.evaluation.results import Evaluation, summary
from skelray.platform.runner import check_data, make_ready, run


def run_seeds(
    config: RunConfig, count: int, *, fresh: bool = False
) -> tuple[Path, list[Evaluation]]:
    """`run` for `count` seeds from `config.seed` on; the summary's file and all figures.

    Runs that are there already are not repeated, so the same command goes on where it stopped.
    """
    check_data(config.data)
    seeds = range(config.seed, config.seed + count)
    found = []
    with cluster.connected(partial(make_ready, config)):
        for number, seed in enumerate(seeds, start=1):
            print(f"seed {seed}: run {number} of {count}", flush=True)
            found.append(run(config.model_copy(update={"seed": seed}), fresh=fresh))
        configuration = config.identity(Source.open(config.data).store.version, seeded=False)
    name = f"{config.name}-{config.experiment}-{configuration}-seeds-{seeds[0]}-{seeds[-1]}.json"
    evaluations = [evaluation for _, evaluation in found]
    tree = {
        "runs": {str(seed): str(folder) for seed, (folder, _) in zip(seeds, found, strict=True)},
        "figures": summary(evaluations),
    }
    paths.write_json(paths.summaries() / name, tree)
    return paths.summaries() / name, evaluations

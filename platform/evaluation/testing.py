"""A classifier on the test part while it is trained, spread over the training workers."""

from __future__ import annotations

import numpy as np
import torch

from skelray.platform import distributed
from skelray.platform.config import ClassifierConfig
from skelray.platform.data.source import Source
from skelray.platform.evaluation.labelled import accuracies
from skelray.platform.method import Method
from skelray.platform.nn.modes import in_eval_mode
from skelray.platform.training.build import build_method


class Testing:
    """Called after every epoch; see `training.loop.Test`."""

    def __init__(self, config: ClassifierConfig, source: Source, device: torch.device) -> None:
        method = build_method(config, source.spec)
        self.every = config.classifier.recipe.test_every
        self.output = config.classifier.output
        inputs = method.inputs(self.output)
        self.data = source.data(inputs, device)
        self.batch = source.largest_batch(inputs, config.evaluation.batch)
        index = next(iter(source.caches(inputs).values())).index
        rows = source.rows(index, "test")
        self.rows = rows[index["label"][rows] >= 0]
        self.label = torch.from_numpy(index["label"][self.rows])

    @torch.no_grad()
    def __call__(self, method: Method, epoch: int, epochs: int) -> dict[str, float]:
        """Accuracies in percent as `test/…`, where this epoch is one in which they are asked for.

        Every recording counts once, however many ranks share them.
        """
        if epoch % self.every and epoch < epochs:
            return {}
        world = distributed.world_size()
        share = -(-len(self.rows) // world)
        # gathering wants equal parts: the last ranks read some recordings again
        ours = np.resize(self.rows, share * world)[share * distributed.rank() :][:share]
        logits = []
        with in_eval_mode(method):
            for rows in np.array_split(ours, -(-share // self.batch)):
                views = method.eval_views(self.data.batch(rows, labels=False), self.output)
                logits.append(method.features(views, [self.output])[self.output].float())
        gathered = distributed.all_gather_rows(torch.cat(logits)).cpu()[: len(self.rows)]
        figures = accuracies(gathered, self.label)
        return {f"test/{name}": value for name, value in figures.items()}

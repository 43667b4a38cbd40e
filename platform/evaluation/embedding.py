"""How the features of the test part come apart while an encoder is trained: t-SNE, now and then.

Source: section 4.5 of the CrosSCLR paper and the animation in LinguoLi/CrosSCLR's README; these say
neither which embedding nor which settings. Here: the encoders' features without augmentation, the
same recordings of ten classes in every picture.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch

from skelray.platform.config import RunConfig
from skelray.platform.data.source import Source
from skelray.platform.evaluation import pictures
from skelray.platform.evaluation.check import rows_or_none
from skelray.platform.method import Method
from skelray.platform.nn.modes import in_eval_mode

_LOG = logging.getLogger(__name__)
FOLDER = "embeddings"  # below the run's folder


class Embedding:
    """Draws at the ends of epochs: `evaluation.tsne_every`, above 0, says after how many."""

    def __init__(
        self, config: RunConfig, source: Source, folder: Path, device: torch.device
    ) -> None:
        self.config, self.source, self.folder, self.device = config, source, folder, device

    def __call__(self, method: Method, step: int, epoch: int, epochs: int) -> list[str]:
        """The pictures' names, relative to the run's folder; none where it is no epoch for them.

        `epoch` counts from 1. The method is as it was afterwards.
        """
        if epoch % self.config.evaluation.tsne_every and epoch != epochs:
            return []
        names = []
        try:
            with in_eval_mode(method), torch.no_grad():
                for output in self.config.evaluation.outputs or method.outputs:
                    name = self._draw(method, output, step, f"epoch {epoch} of {epochs}")
                    names.extend([name] if name else [])
        except Exception:  # a picture must not end a run
            _LOG.warning("t-SNE after epoch %d could not be drawn", epoch, exc_info=True)
        return names

    def _draw(self, method: Method, output: str, step: int, when: str) -> str:
        caches = self.source.caches(method.inputs(output))
        index = next(iter(caches.values())).index
        rows = rows_or_none(self.source, index, "test")
        rows = rows[index["label"][rows] >= 0]
        rows = rows[pictures.chosen(index["label"][rows])]
        if len(rows) < 3:  # t-SNE needs neighbours
            return ""
        data = self.source.data(method.inputs(output), self.device)
        pieces = []
        batch = self.source.largest_batch(method.inputs(output), self.config.evaluation.batch)
        for chunk in np.array_split(rows, -(-len(rows) // batch)):
            views = method.eval_views(data.batch(chunk, labels=False), output)
            pieces.append(method.features(views, [output])[output].float().cpu().numpy())
        stem = self.folder / FOLDER / f"tsne-{output}-step-{step:08d}"
        points = pictures.plane(np.concatenate(pieces), self._before(stem))
        title = f"{self.config.name} on {self.source.dataset.name}, {output}, {when}"
        label, classes = index["label"][rows], self.source.classes
        path = pictures.scatter(stem.with_suffix(".png"), points, label, classes, title)
        np.save(stem.with_suffix(".npy"), points)
        return str(path.relative_to(self.folder))

    def _before(self, stem: Path) -> np.ndarray | None:
        """Where the points were in the picture before, if there is one."""
        pattern = f"{stem.name.rpartition('-')[0]}-*.npy"
        known = [p for p in sorted(stem.parent.glob(pattern)) if p.stem < stem.name]
        if not known:
            return None
        points: np.ndarray = np.load(known[-1], allow_pickle=False)
        return points


def frames(folder: Path) -> dict[str, list[Path]]:
    """By output, the pictures of a run in their order."""
    found: dict[str, list[Path]] = {}
    for path in sorted((folder / FOLDER).glob("tsne-*-step-*.png")):
        found.setdefault(path.name.removeprefix("tsne-").rpartition("-step-")[0], []).append(path)
    return found

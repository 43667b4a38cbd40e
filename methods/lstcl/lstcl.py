"""LSTCL: action links, an encoder of whole sequences, and predictions that are contrasted.

Source: Rustogi, Mukherjee, "Long-term Spatio-temporal Contrastive Learning framework for Skeleton
Action Recognition", IJCNN 2022; AnshulRustogi/Long-Term-Spatio-Temporal-Framework. Shapes: N
samples, M persons, R = N * M bodies (persons of a sample one after the other), T frames, V joints,
E = V(V-1) pairs of joints, K types of links.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from skelray.methods.lstcl import checkpoints
from skelray.methods.lstcl.asgcn import ASGCN
from skelray.methods.lstcl.classifier import LinkedClassifier, encode
from skelray.methods.lstcl.coded import CodedPredictionContrast, CodedVideoContrast
from skelray.methods.lstcl.complete import PredictionContrast, VideoContrast, weighted_mean
from skelray.methods.lstcl.config import AS_CODED, LINK_TYPES, SMALL, LSTCLConfig
from skelray.methods.lstcl.feeding import Recordings
from skelray.methods.lstcl.links import (
    LinkInference,
    link_divergence,
    prediction_nll,
    sample_links,
)
from skelray.methods.lstcl.phases import FULL, PARTIAL, groups_by_decay, phases
from skelray.methods.lstcl.prediction import PredictionHead, init_ends_, poses, scale_offsets_
from skelray.methods.lstcl.recipes import RECIPES
from skelray.methods.lstcl.seen import FromVideo, Predicted
from skelray.methods.lstcl.video import VideoPart, video_views
from skelray.platform.errors import UsageError
from skelray.platform.method import (
    Batch,
    Classifier,
    DataSpec,
    Draws,
    EvalRecipe,
    Inputs,
    Method,
    Phase,
    Progress,
    PublishedState,
    Step,
    Views,
)
from skelray.platform.nn.dropout import Dropout
from skelray.platform.nn.init import init_normal_
from skelray.platform.nn.momentum import freeze
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.skeleton.graph import adjacency

FIELD = "skeleton"
OUTPUT = "joint"
PREDICTION = "prediction"  # views of `predict`


class LSTCL(Method):
    """Link inference with its video part, encoder, recognition and prediction head."""

    Config = LSTCLConfig
    PRESETS: ClassVar = {"as_coded": AS_CODED, "small": SMALL}
    DEFAULTS = "complete"
    couples_batch = True  # the first step's scale, and as coded every distance
    config: LSTCLConfig

    def __init__(self, config: LSTCLConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        joints, kinds, width = data.skeleton.n_joints, LINK_TYPES - 1, 4 * config.channels
        self.outputs = {OUTPUT: width}
        self.encoders = ("links.encoder", "encoder")
        structure = adjacency(data.skeleton, max_hop=config.max_hop)
        self.links = LinkInference(
            config.clip_frames, config.link_hidden, LINK_TYPES, 0.5 * config.dropout
        )
        self.video = VideoPart(config, joints, LINK_TYPES, momentum=config.complete)
        self.encoder = ASGCN(
            structure,
            kinds=kinds,
            channels=config.channels,
            dropout=config.dropout,
            share_twice=config.share_twice,
        )
        self.prediction = PredictionHead(
            structure,
            kinds=kinds,
            channels=config.channels,
            frames=config.frames,
            future=config.future,
            dropout=config.dropout,
            offset_dropout=config.offset_dropout,
        )
        self.recognition = _recognition_head(width, data.classes, 0.6 * config.dropout)
        if not self.recognises:
            freeze(self.recognition)
        elif not data.classes:
            raise UsageError("method.mode=joint trains on labels: the data set names no classes")
        self._initialise()
        projected = self.video["inter"].query.outputs * LINK_TYPES
        predicted = 3 * config.future * joints
        self.video_contrast: VideoContrast | CodedVideoContrast
        self.contrast: PredictionContrast | CodedPredictionContrast
        if config.complete:
            self.video_contrast = VideoContrast(config, projected)
            self.contrast = PredictionContrast(config, predicted, width)
        else:
            self.video_contrast = CodedVideoContrast(config, projected)
            self.contrast = CodedPredictionContrast(config, predicted)

    @property
    def recognises(self) -> bool:
        """Whether the encoder's phases train the recognition head, with labels."""
        return self.config.mode == "joint"

    def _initialise(self) -> None:
        if self.config.initialisation == "published":
            for part in (self.encoder, self.prediction, self.recognition):
                init_normal_(part)
            init_ends_(self.prediction)
        scale_offsets_(self.prediction, self.config.offset_scale)
        if self.config.complete:
            self.prediction.copy_to_key()

    def inputs(self, use: str) -> Inputs:
        """One skeleton field for all phases and for evaluation."""
        parameters = {
            "persons": self.data.persons,
            "gaps": "close",
            "max_frames": self.config.window,
        }
        return Inputs(skeletons={FIELD: Preprocessing(name="energy_ranked", parameters=parameters)})

    def phases(self) -> Sequence[Phase]:
        """Links, links with the video part, encoder."""
        return list(phases(self.config, recognition=self.recognises))

    def parameter_groups(self, phase: Phase) -> list[dict[str, Any]]:
        """Edge masks and normalisations without weight decay, unless as coded."""
        if self.config.decay_all:
            return super().parameter_groups(phase)
        return groups_by_decay(self)

    def views(self, batch: Batch, draws: Draws, progress: Progress) -> Views:
        """What the phase reads of the moved recordings, and its noise."""
        true_end = self.config.target == "true_end"
        recordings = Recordings(batch.skeletons[FIELD], self.config, true_end, draws)
        places = recordings.clip_places(draws.uniform("clip"))
        pairs = self.data.skeleton.n_joints * (self.data.skeleton.n_joints - 1)
        noise = draws.uniform("links", self.data.persons, pairs, LINK_TYPES)
        if progress.phase in (PARTIAL, FULL):
            clip = recordings.clip(places)
            views = {"clip": clip, "noise": noise, "present": _present(clip)}
            if progress.phase == FULL:
                skeleton, complete = self.data.skeleton, self.config.complete
                views |= video_views(draws, clip, skeleton, complete=complete)
            return views
        code = (self._bodies, 2 * self.config.channels, self.data.skeleton.n_joints)
        views = {
            "sequence": recordings.sequence(),
            "places": places,
            "noise": noise,
            "last": recordings.last(),
            "target": recordings.target(),
            "key_noise": draws.normal("key", *code),
        }
        if self.recognises:
            assert batch.label is not None
            views["label"] = batch.label
        return views

    @property
    def _bodies(self) -> int:
        """Persons whose future is predicted: the first alone is compared with what comes.

        As coded all pass the head, and its BatchNorm measures all.
        """
        return 1 if self.config.complete else self.data.persons

    def before_step(self, progress: Progress) -> None:
        """The key networks of the phase follow."""
        if progress.phase == FULL and self.config.complete:
            self.video.move_keys(self.config.momentum)
        elif progress.phase not in (PARTIAL, FULL):
            self.prediction.move_key(self.config.momentum)

    def forward(self, views: Views, progress: Progress) -> Step:
        """The loss of the phase."""
        if progress.phase in (PARTIAL, FULL):
            return self._infer_links(views, full=progress.phase == FULL)
        return self._predict_poses(views, progress)

    def _infer_links(self, views: Views, *, full: bool) -> Step:
        clips = _nodes(views["clip"])
        logits = self.links.encoder(clips)
        links = sample_links(logits, views["noise"].flatten(0, 1))
        # as coded absent persons count too
        counted = views["present"].flatten().float()
        weight = counted if self.config.complete else torch.ones_like(counted)
        terms = {
            "nll": weighted_mean(prediction_nll(self.links.decoder(clips, links), clips), weight),
            "kl": weighted_mean(link_divergence(logits, clips.shape[1]), weight),
        }
        loss = terms["nll"] + terms["kl"]
        linked = 1 - sample_links(logits.detach())[..., 0]  # by their most likely type
        figures = {"linked_pct": 100 * weighted_mean(linked.mean(1), weight)}
        if not full:
            return Step(loss=loss, terms=terms, figures=figures)
        found = self.video_contrast(
            self.video,
            self.links.encoder,
            FromVideo(
                clips=clips,
                augmented={
                    name: _nodes(views[f"{name}_frame"][:, :, None]) for name in ("inter", "intra")
                },
                orders=views["orders"].flatten(0, 1),
                order_label=views["order_label"].flatten(),
                present=counted,
            ),
        )
        for weighted, term in zip(self.config.video_weights, found.terms.values(), strict=True):
            loss = loss + weighted * term
        return Step(loss=loss, terms={**terms, **found.terms}, figures=figures, carry=found.carry)

    def _predict_poses(self, views: Views, progress: Progress) -> Step:
        with torch.no_grad():  # the links are trained before
            action = self._graphs(views["sequence"], views["places"], views["noise"])
        features = self.encoder(_rows(views["sequence"]), action)
        predicted = self._predicted(views, features, action, progress)
        config, found = self.config, self.contrast(predicted)
        terms, figures = dict(found.terms), dict(found.figures)
        loss = config.w_pred * terms["prediction"] + config.w_con * terms["contrast"]
        if self.recognises:
            pooled = features.mean((2, 3)).unflatten(0, (-1, self.data.persons)).mean(1)
            logits = self.recognition(pooled).float()
            terms["recognition"] = functional.cross_entropy(logits, views["label"])
            loss = loss + config.w_class * terms["recognition"]
            figures["top1"] = 100 * (logits.argmax(1) == views["label"]).float().mean()
        return Step(
            loss=loss,
            terms=terms,
            figures=figures,
            carry=found.carry,
            trace={"pred": predicted.pred.detach(), "pred_key": predicted.key},
        )

    def _predicted(
        self, views: Views, features: Tensor, action: Tensor, progress: Progress
    ) -> Predicted:
        """The predictions of query and key from the encoder's output (R, 4 * channels, T', V)."""
        config, persons, bodies = self.config, self.data.persons, self._bodies
        seen, graphs = (
            x.unflatten(0, (-1, persons))[:, :bodies].flatten(0, 1) for x in (features, action)
        )
        last = views["last"].permute(0, 3, 1, 2)[:, :bodies].flatten(0, 1)
        structure, head = self.encoder.structure, self.prediction
        code = head.code(seen, structure, graphs)
        with torch.no_grad():
            noise = config.key_noise**0.5 * views["key_noise"].flatten(0, 1)[:, :, None]
            key = head.offsets(head.key, code + noise.to(code.dtype), last, structure, graphs)
        query = head.offsets(head.query, code, last, structure, graphs)
        pred, pred_key = (
            poses(x, last.to(x.dtype), config.residual_layout)[::bodies] for x in (query, key)
        )
        return Predicted(
            pred=pred,
            key=pred_key,
            target=views["target"],
            last=last[::bodies],
            feature=features[::persons].mean((2, 3)),
            label=views.get("label"),
            neighbours=self._neighbours(progress),
        )

    def _neighbours(self, progress: Progress) -> int:
        start = self.config.neighbours_from
        start = start * progress.epochs if start < 1 else start
        return self.config.neighbours if progress.epoch >= start else 0

    def _graphs(self, sequence: Tensor, places: Tensor, noise: Tensor | None = None) -> Tensor:
        clip = torch.take_along_dim(sequence, places[:, None, :, None, None], dim=2)
        uniform = None if noise is None else noise.flatten(0, 1)
        return self.links.encoder.graphs(_nodes(clip), uniform)

    def after_step(self, carry: Mapping[str, Tensor], progress: Progress) -> None:
        """Keys enter the queues of the phase."""
        if progress.phase == FULL:
            self.video_contrast.remember(carry)
        elif progress.phase != PARTIAL:
            self.contrast.remember(carry)

    def eval_views(self, batch: Batch, output: str, draws: Draws | None = None) -> Views:
        """The whole recording, repeated, and the places of its clip; moved where there are draws.

        Of the output `prediction` the frames before a recording's end, its last pose and target.
        """
        end = output == PREDICTION
        recordings = Recordings(batch.skeletons[FIELD], self.config, end, draws)
        views = {"sequence": recordings.sequence(), "places": recordings.clip_places()}
        if end:
            last, target = recordings.last()[..., :1], recordings.target()[..., None]
            views |= {"last": last, "target": target}
        return {f"{output}/{name}": view for name, view in views.items()}

    def features(self, views: Views, names: Sequence[str]) -> dict[str, Tensor]:
        """The encoder's output, mean over frames, joints and persons (N, 4 * channels)."""
        return {
            name: encode(
                self.links.encoder, self.encoder, views[f"{name}/sequence"], views[f"{name}/places"]
            )
            for name in names
        }

    def predict(self, views: Views) -> Tensor:
        """The first person's future (N, 3, F, V, 1), from the views of output `prediction`."""
        sequence, last = (views[f"{PREDICTION}/{name}"] for name in ("sequence", "last"))
        sequence, last = sequence[..., :1], last[..., 0]  # nobody else enters
        action = self._graphs(sequence, views[f"{PREDICTION}/places"])
        head, structure = self.prediction, self.encoder.structure
        code = head.code(self.encoder(_rows(sequence), action), structure, action)
        offsets = head.offsets(head.query, code, last, structure, action)
        return poses(offsets, last, self.config.residual_layout)[..., None]

    def logits(self, views: Views) -> Tensor:
        """Logits (N, classes) of the recognition head, from the views of output `joint`."""
        found: Tensor = self.recognition(self.features(views, [OUTPUT])[OUTPUT])
        return found

    def classifier(self, classes: int, output: str, recipe: EvalRecipe) -> Classifier:
        """Copies of link inference, which stays as it is, and encoder, with a linear head."""
        width = self.outputs[output]
        return LinkedClassifier(self.links.encoder, self.encoder, width, classes, output, recipe)

    @classmethod
    def recipes(cls) -> Mapping[str, EvalRecipe]:
        """Linear evaluation, fine-tuning with all labels or few, training from scratch."""
        return RECIPES

    @classmethod
    def published(cls, states: Sequence[Mapping[str, Tensor]], network: str) -> PublishedState:
        """The two files of AnshulRustogi/Long-Term-Spatio-Temporal-Framework, or of AS-GCN."""
        return checkpoints.translate(states, network)


def _recognition_head(width: int, classes: int | None, dropout: float) -> nn.Sequential:
    """Dropout and a linear layer; nothing where there are no classes."""
    return (
        nn.Sequential(Dropout(dropout), nn.Linear(width, classes)) if classes else nn.Sequential()
    )


def _rows(x: Tensor) -> Tensor:
    """(N, 3, T, V, M) as bodies (R, 3, T, V)."""
    return x.permute(0, 4, 1, 2, 3).flatten(0, 1)


def _nodes(x: Tensor) -> Tensor:
    """(N, 3, T, V, M) as bodies' joints (R, V, T, 3)."""
    return x.permute(0, 4, 3, 2, 1).flatten(0, 1)


def _present(clip: Tensor) -> Tensor:
    """Which persons of clips (N, 3, T, V, M) are there (N, M)."""
    return (clip != 0).flatten(1, 3).any(1)

"""SV-data2vec: a student sees some frames' pictures, the teacher all skeletons of the clip.

Source: Doždor, Hrkać, Kalafatić, "SV-data2vec: Guiding Video Representation Learning with Latent
Skeleton Targets", WACV 2025; zoranadozdor/SVdata2vec, model_svdata2vec. Shapes: N clips, T frames
of S x S pixels, M persons, V joints, K frames kept, D the width of a token.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from skelray.methods.svdata2vec import checkpoints
from skelray.methods.svdata2vec.classifier import clip_tokens, new_classifier
from skelray.methods.svdata2vec.config import SMALL, SOUND, SVData2vecConfig
from skelray.methods.svdata2vec.decoder import Decoder
from skelray.methods.svdata2vec.masking import Masks, masks, rows_of
from skelray.methods.svdata2vec.pictures import FIELD, PERSONS, augmented, read
from skelray.methods.svdata2vec.recipes import RECIPES
from skelray.methods.svdata2vec.tokens import SkeletonTokens, VideoTokens
from skelray.platform.clips.transforms import normalise
from skelray.platform.distributed import mean_over_ranks
from skelray.platform.method import (
    Batch,
    Classifier,
    ClipSpec,
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
from skelray.platform.nn.init import embedding, init_transformer_
from skelray.platform.nn.momentum import copy_parameters, freeze, momentum_update
from skelray.platform.nn.transformer import Transformer
from skelray.platform.optim import Optimiser, Schedule
from skelray.platform.preprocessing import Preprocessing


class SVData2vec(Method):
    """Tokenisers and transformer of the student, its decoder, and the teacher's blocks."""

    Config = SVData2vecConfig
    PRESETS: ClassVar = {"sound": SOUND, "small": SMALL}
    config: SVData2vecConfig

    def __init__(self, config: SVData2vecConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        dim, shape = config.dim, (config.heads, config.mlp_ratio)
        self.outputs = {"skeleton_rgb": dim, "rgb": dim}
        self.encoders = ("video", "skeleton", "encoder")
        self.video = VideoTokens(
            dim, config.channels, checkpoint_activations=config.checkpoint_activations
        )
        self.skeleton = SkeletonTokens(dim, PERSONS, data.skeleton.n_joints)
        self.position = embedding(1, config.frames, dim)
        self.encoder = Transformer(dim, config.depth, *shape)
        self.decoder = Decoder(dim, config.frames, config.decoder_depth, *shape)
        # made before the student is initialised, as published; it reads the student's tokens
        self.teacher = freeze(copy.deepcopy(self.encoder.blocks))
        for part in (self.video, self.skeleton, self.encoder, self.decoder):
            init_transformer_(part)
        if config.teacher_init == "copy":
            copy_parameters(self.encoder.blocks, self.teacher)

    def inputs(self, use: str) -> Inputs:
        """Poses and clips: random frames for pretraining, a fixed choice for an output."""
        return self._inputs(use, augmented=use not in self.outputs)

    def training_inputs(self, output: str) -> Inputs:
        """As an output's, of random frames and larger, to be cropped."""
        return self._inputs(output, augmented=True)

    def _inputs(self, use: str, *, augmented: bool) -> Inputs:
        config = self.config
        joints = use != "rgb"  # which works where nobody has found poses
        clip = ClipSpec(
            frames=config.frames,
            size=config.resized if augmented else config.size,
            sampling="random" if augmented else "seeded",
            box="joints" if joints else "recording",
            joints=FIELD if joints else "",
        )
        poses = Preprocessing(name="pose_2d", parameters={"persons": PERSONS})
        return Inputs(skeletons={FIELD: poses} if joints else {}, clip=clip)

    def phases(self) -> Sequence[Phase]:
        """The single phase of pretraining."""
        config = self.config
        optimiser = Optimiser(
            name="adamw",
            lr=config.lr,
            betas=config.betas,
            weight_decay=config.weight_decay,
            decay_vectors=False,
        )
        schedule = Schedule(
            name="cosine",
            per="step",
            final=config.min_lr / config.lr,
            warmup_epochs=config.warmup_epochs,
        )
        return [
            Phase(
                epochs=config.epochs,
                batch=config.batch,
                optimiser=optimiser,
                schedule=schedule,
                precision=config.precision,
            )
        ]

    def views(self, batch: Batch, draws: Draws, progress: Progress) -> Views:
        """The augmented clip, its joints, the noise of the masks; a clip's weight in the loss."""
        assert batch.clip_ok is not None
        config = self.config
        clip = augmented(read(batch, joints=True), batch, draws, config, self.data.skeleton)
        assert clip.joints is not None
        return {
            "video": normalise(clip.frames).contiguous(),
            "joints": clip.joints,
            "video_noise": draws.uniform("mask/video", config.frames),
            "skeleton_noise": draws.uniform("mask/skeleton", config.kept_frames),
            "weight": batch.clip_ok.float(),
        }

    def forward(self, views: Views, progress: Progress) -> Step:
        """The mean square error of the predictions at frames whose skeleton was not seen."""
        mask = masks(views["video_noise"], views["skeleton_noise"], self.config.kept_skeletons)
        skeleton = self.skeleton(views["joints"])
        latent = self.encoder(self._seen(views["video"], skeleton, mask))
        prediction = self.decoder(latent, mask.restore)
        target = self._target(skeleton)
        error = (prediction.to(target.dtype) - target).square().mean(dim=2)  # (N, T)
        weight = mask.predicted * views["weight"][:, None]
        # over all ranks, as clips that could not be read differ in number; 0 where there are none
        count = mean_over_ranks(weight.sum())
        return Step(
            loss=(error * weight).sum() / torch.where(count > 0, count, 1),
            figures={
                # deviation between clips, 0 where all look the same to the network (collapse)
                "target_spread": _spread(target),
                "prediction_spread": _spread(prediction.detach()),
            },
            trace={
                "predicted": mask.predicted,
                "restore": mask.restore,
                "latent": latent.detach(),
                "prediction": prediction.detach(),
                "target": target,
            },
        )

    def _seen(self, video: Tensor, skeleton: Tensor, mask: Masks) -> Tensor:
        """The student's tokens (N, K, D): of pictures, or of pictures and skeletons by halves."""
        if self.config.encode_frames == "all":
            seen = rows_of(self.video(video), mask.video)
        else:
            in_time, place = mask.video.sort(dim=1)
            index = in_time[:, None, :, None, None].expand(-1, 3, -1, *video.shape[3:])
            seen = rows_of(self.video(video.gather(2, index)), place.argsort(dim=1))
        both = (seen + rows_of(skeleton, mask.video)) / 2
        position = self.position.expand(len(video), -1, -1)
        return torch.where(mask.skeleton[..., None], both, seen) + rows_of(position, mask.video)

    @torch.no_grad()
    def _target(self, skeleton: Tensor) -> Tensor:
        """The mean of the teacher's block outputs (N, T, D), each normalised over the frames."""
        x = skeleton + self.position
        normalised = []
        for block in self.teacher:
            x = block(x)
            exact = x.to(torch.promote_types(x.dtype, torch.float32))
            variance, mean = torch.var_mean(exact, dim=1, correction=0, keepdim=True)
            normalised.append((exact - mean) * torch.rsqrt(variance + 1e-5))
        return torch.stack(normalised).mean(dim=0)

    def after_step(self, carry: Mapping[str, Tensor], progress: Progress) -> None:
        """The teacher follows the student's blocks."""
        if (update := self.teacher_update(progress)) is not None:
            momentum_update(self.encoder.blocks, self.teacher, self.decay(update))

    def teacher_update(self, progress: Progress) -> int | None:
        """The number of the teacher's update after this step, from 1 on; None: there is none.

        As published it counts within the epoch, and all epochs but the first leave out an update.
        """
        if self.config.ema_counter == "run":
            return progress.step + 1
        skipped = progress.epoch > 0 and progress.step_in_epoch == 0
        return None if skipped else progress.step_in_epoch + 1

    def decay(self, update: int) -> float:
        """The teacher's share in its update: a straight line, then constant."""
        start, end = self.config.ema_start, self.config.ema_end
        return end - (end - start) * max(0.0, 1 - update / self.config.ema_steps)

    def eval_views(self, batch: Batch, output: str, draws: Draws | None = None) -> Views:
        """The clip as it was cut, or augmented as in pretraining; with joints where they count."""
        clip = read(batch, joints=output != "rgb")
        if draws is not None:
            clip = augmented(clip, batch, draws, self.config, self.data.skeleton)
        views = {f"{output}/video": normalise(clip.frames).contiguous()}
        return views if clip.joints is None else {**views, f"{output}/joints": clip.joints}

    def features(self, views: Views, names: Sequence[str]) -> dict[str, Tensor]:
        """The mean over the frames of the transformer's tokens (N, D)."""
        return {
            name: self.encoder(
                clip_tokens(views, name, self.video, self.skeleton, self.position)
            ).mean(dim=1)
            for name in names
        }

    def classifier(self, classes: int, output: str, recipe: EvalRecipe) -> Classifier:
        """Copies of the pretrained parts with a head: a linear one where that alone is trained."""
        parts: dict[str, nn.Module] = {"video": self.video, "encoder": self.encoder}
        if output != "rgb":
            parts["skeleton"] = self.skeleton
        return new_classifier(parts, self.position, classes, output, recipe)

    @classmethod
    def recipes(cls) -> Mapping[str, EvalRecipe]:
        """Linear evaluation, fine-tuning, and the same network trained from its beginning."""
        return RECIPES

    @classmethod
    def published(cls, states: Sequence[Mapping[str, Tensor]], network: str) -> PublishedState:
        """Checkpoints of zoranadozdor/SVdata2vec."""
        return checkpoints.translate(states[0], network)


def _spread(x: Tensor) -> Tensor:
    """The standard deviation over the clips, mean over frames and channels."""
    return x.float().std(dim=0, correction=0).mean()

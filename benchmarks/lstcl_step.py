"""LSTCL's steps against a plain formulation: `python benchmarks/lstcl_step.py`.

Needs neither Ray nor data. The plain one works as the published code does: convolutions to the
channels of all eleven graphs before the joints are mixed, graphs repeated for every body, both
joints of every pair side by side, the link inference with its decoder in every step, all persons
through the prediction head. Before that, where the time of skelray's step of the encoder goes.
Nothing else should run meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import measure
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from skelray.datasets.ntu.dataset import NTU60
from skelray.methods.lstcl.asgcn import ACTION_WEIGHT, LinkConvolution
from skelray.methods.lstcl.config import LSTCLConfig
from skelray.methods.lstcl.links import LinkDecoder, LinkMLP, action_graphs, sample_links
from skelray.methods.lstcl.lstcl import LSTCL
from skelray.platform.estimate import made_up_batch
from skelray.platform.method import DataSpec, Draws, Phase, Progress
from skelray.platform.skeleton.specs import KINECT_V2
from skelray.platform.training.allocation import keep_freed_memory
from skelray.platform.training.step import Stepper

DATA = DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3, classes=60)
LINKS, ENCODER = "aim_partial", "encoder"


def convolve_then_mix(
    self: LinkConvolution, x: Tensor, structure: Tensor, action: Tensor
) -> Tensor:
    """All graphs of each body in one tensor, after a convolution to all their channels."""
    shared = (structure * self.edge_importance).expand(len(x), -1, -1, -1)
    graphs = torch.cat([shared, ACTION_WEIGHT * action], dim=1)
    y = self.conv(x).unflatten(1, (graphs.shape[1], -1))
    return torch.einsum("rkctv,rkvw->rctw", y, graphs)


def of_each_pair(self: LinkMLP, nodes: Tensor, further: Tensor | None = None) -> Tensor:
    """Receiver, sender and own features side by side, for every pair."""
    joints = nodes.shape[1]
    sender, receiver = (~torch.eye(joints, dtype=torch.bool, device=nodes.device)).nonzero().T
    x = [nodes[:, receiver], nodes[:, sender], *([] if further is None else [further])]
    return self._rest(self.fc1(torch.cat(x, dim=2)))


def messages_of_each_pair(self: LinkDecoder, state: Tensor, weights: Tensor) -> Tensor:
    """The same for the decoder's messages."""
    grid = state[:, None].expand(-1, state.shape[1], -1, -1)  # (B, sender, receiver, H)
    pairs = torch.cat([grid, grid.transpose(1, 2)], dim=3)
    total = torch.zeros_like(state)
    for kind, (first, second) in enumerate(zip(self.message1, self.message2, strict=True)):
        message = second(self.dropout(first(pairs).tanh())).tanh()
        total = total + (message * weights[..., kind, None]).sum(1)
    return total


def graphs_with_decoder(self: LSTCL, sequence: Tensor, places: Tensor, noise: Tensor) -> Tensor:
    """The whole link inference, of which only the graphs are used."""
    clip = torch.take_along_dim(sequence, places[:, None, :, None, None], dim=2)
    clips = clip.permute(0, 4, 3, 2, 1).flatten(0, 1)
    links = sample_links(self.links.encoder(clips), noise.flatten(0, 1))
    self.links.decoder(clips, links)
    return action_graphs(links, clips.shape[1])


def make_plain() -> None:
    """Everything in this process as the published code has it."""
    LinkConvolution.forward = convolve_then_mix  # type: ignore[method-assign]
    LinkMLP.of_pairs = of_each_pair  # type: ignore[method-assign]
    LinkDecoder._messages = messages_of_each_pair  # type: ignore[method-assign]
    LSTCL._graphs = graphs_with_decoder  # type: ignore[method-assign,assignment]
    LSTCL._bodies = property(lambda self: self.data.persons)  # type: ignore[method-assign,assignment]


def prepared(phase: str, **settings: Any) -> tuple[LSTCL, Phase, Callable[[], object]]:
    """The method, its phase, and a whole step of it."""
    keep_freed_memory()
    torch.manual_seed(0)
    method = LSTCL(LSTCLConfig(**settings), DATA)
    chosen = next(one for one in method.phases() if one.name == phase)
    for name, parameter in method.named_parameters():
        trained = name.startswith(tuple(f"{part}." for part in chosen.trainable))
        parameter.requires_grad_(parameter.requires_grad and trained)
    method.links.train(phase == LINKS)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    stepper = Stepper(method.to(device), chosen, seed=0, device=device, ddp=False)
    batch = made_up_batch(method, NTU60, phase, settings["batch"]).to(device)
    now = Progress(phase=phase, epoch=0, epochs=1, step=0, step_in_epoch=0, steps_per_epoch=1)

    def step() -> None:
        figures = stepper.run([batch], now)
        float(figures["train/loss"])  # waits for the device

    return method, chosen, step


def contestant(*, plain: bool, phase: str, **settings: Any) -> Callable[[], object]:
    """A step, plain or as it is here."""
    if plain:
        make_plain()
    return prepared(phase, **settings)[2]


def forward_flops(*, plain: bool, **settings: Any) -> float:
    """GFLOP of the encoder phase's forward pass, per sample."""
    if plain:
        make_plain()
    method, _, _ = prepared(ENCODER, **settings)
    batch = made_up_batch(method, NTU60, ENCODER, settings["batch"])
    now = Progress(phase=ENCODER, epoch=0, epochs=1, step=0, step_in_epoch=0, steps_per_epoch=1)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        method.cpu()(method.views(batch, Draws(0, 0, batch.key), now), now)
    return counter.get_total_flops() / settings["batch"] / 1e9


def parts(**settings: Any) -> dict[str, float]:
    """Seconds of the forward pass of each part of the encoder's phase, and of the whole step."""
    method, _, step = prepared(ENCODER, **settings)
    device = next(method.parameters()).device
    batch = made_up_batch(method, NTU60, ENCODER, settings["batch"]).to(device)
    now = Progress(phase=ENCODER, epoch=0, epochs=1, step=0, step_in_epoch=0, steps_per_epoch=1)
    with torch.no_grad():
        views = method.views(batch, Draws(0, 0, batch.key), now)
        action = method._graphs(views["sequence"], views["places"], views["noise"])
        rows = views["sequence"].permute(0, 4, 1, 2, 3).flatten(0, 1)
        features = method.encoder(rows, action)
        structure = method.encoder.structure
        asked: dict[str, Callable[[], object]] = {
            "views": lambda: method.views(batch, Draws(0, 0, batch.key), now),
            "links": lambda: method._graphs(views["sequence"], views["places"], views["noise"]),
            "encoder, forward": lambda: method.encoder(rows, action),
            "prediction head, forward": lambda: method.prediction.code(
                features[::2], structure, action[::2]
            ),
        }
        measured = {name: measure.seconds(partial(_waited, call)) for name, call in asked.items()}
    step()
    return {**measured, "whole step": measure.seconds(step)}


def _waited(call: Callable[[], object]) -> None:
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    settings = {"batch": given.batch, "channels": given.channels}
    print(f"forward, GFLOP a sample: skelray {forward_flops(plain=False, **settings):.1f}")
    for name, took in parts(**settings).items():
        print(f"  {name:26s} {1000 * took:8.0f} ms")
    print(f"forward, GFLOP a sample: plain {forward_flops(plain=True, **settings):.1f}")
    ratios = {}
    for phase in (ENCODER, LINKS):
        medians = measure.compete(
            {
                name: partial(contestant, plain=plain, phase=phase, **settings)
                for name, plain in (("plain", True), ("skelray", False))
            },
            given.rounds,
            warm=1,
        )
        for name, median in medians.items():
            print(f"{phase:12s} {name:8s} {1000 * median:8.0f} ms a step")
        ratios[f"LSTCL, {phase}"] = medians["plain"] / medians["skelray"]
    measure.conclude(given, ratios)


if __name__ == "__main__":
    main()

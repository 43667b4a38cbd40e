"""The inference of action links (AIM): which joints act together, learnt by predicting frames.

Source: section 3.2 of Li et al., "Actional-Structural Graph Convolutional Networks", CVPR 2019;
AnshulRustogi/Long-Term-Spatio-Temporal-Framework, net/utils/adj_learn.py. Shapes: B bodies, V
joints, T frames, C coordinates, E = V(V-1) ordered pairs of joints, H the hidden width, K types of
links, of which type 0 is none.

Pairs run row by row through the matrix (sender, receiver) without its diagonal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from skelray.platform.nn.batch_norm import BatchNorm
from skelray.platform.nn.dropout import Dropout

SAMPLING_TEMPERATURE = 0.5
GRAPH_SCALE = 0.1  # of the inferred graphs beside the structural ones


def off_diagonal(grid: Tensor) -> Tensor:
    """(B, V, V, …) without its diagonal, row by row: (B, E, …)."""
    joints = grid.shape[1]
    # what is left of the first diagonal element on falls into rows that end with the next ones
    rows = grid.flatten(1, 2)[:, 1:].unflatten(1, (joints - 1, joints + 1))
    return rows[:, :, :-1].flatten(1, 2)


def on_grid(pairs: Tensor, joints: int) -> Tensor:
    """The inverse of `off_diagonal`, zeros on the diagonal: (B, E, …) -> (B, V, V, …)."""
    rows = pairs.unflatten(1, (joints - 1, joints))
    rows = torch.cat([rows, torch.zeros_like(rows[:, :, :1])], dim=2).flatten(1, 2)
    return torch.cat([torch.zeros_like(rows[:, :1]), rows], dim=1).unflatten(1, (joints, joints))


class LinkMLP(nn.Module):
    """Linear, ELU, dropout, Linear, ELU, BatchNorm over all rows: (…, inputs) -> (…, outputs)."""

    def __init__(
        self, inputs: int, hidden: int, outputs: int, dropout: float, *, norm: bool = True
    ) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
        self.dropout = Dropout(dropout)
        self.norm = BatchNorm(outputs) if norm else None
        for linear in (self.fc1, self.fc2):
            xavier_(linear)

    def forward(self, x: Tensor) -> Tensor:
        """Of each row by itself, but for the norm."""
        return self._rest(self.fc1(x))

    def of_pairs(self, nodes: Tensor, further: Tensor | None = None) -> Tensor:
        """Of the pairs' receiver, sender and own features: (B, V, D), (B, E, …) -> (B, E, outputs).

        The first layer is linear: it sees every joint once, not in each of its pairs.
        """
        width = nodes.shape[-1]
        receiver, sender, own = self.fc1.weight.tensor_split((width, 2 * width), dim=1)
        grid = functional.linear(nodes, receiver, self.fc1.bias)[:, None]
        x = off_diagonal(grid + functional.linear(nodes, sender)[:, :, None])
        return self._rest(x if further is None else x + functional.linear(further, own))

    def _rest(self, x: Tensor) -> Tensor:
        x = functional.elu(self.fc2(self.dropout(functional.elu(x))))
        return x if self.norm is None else self.norm(x.flatten(0, -2)).view(x.shape)


def xavier_(linear: nn.Linear) -> None:
    """Draws a layer of the link inference anew: Xavier-normal weights, biases 0.1."""
    nn.init.xavier_normal_(linear.weight)
    nn.init.constant_(linear.bias, 0.1)


class LinkEncoder(nn.Module):
    """From clips (B, V, T, C) to the logits (B, E, K) of each pair's type of link."""

    def __init__(self, inputs: int, hidden: int, types: int, dropout: float) -> None:
        super().__init__()
        self.mlp1 = LinkMLP(inputs, hidden, hidden, dropout)
        self.mlp2 = LinkMLP(2 * hidden, hidden, hidden, dropout)
        self.mlp3 = LinkMLP(hidden, hidden, hidden, dropout)
        self.mlp4 = LinkMLP(3 * hidden, hidden, hidden, dropout)
        self.out = nn.Linear(hidden, types)
        xavier_(self.out)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits."""
        joints = clips.shape[1]
        pairs = self.mlp2.of_pairs(self.mlp1(clips.flatten(2)))
        incoming = on_grid(pairs, joints).sum(1) / joints
        logits: Tensor = self.out(self.mlp4.of_pairs(self.mlp3(incoming), pairs))
        return logits

    def graphs(self, clips: Tensor, uniform: Tensor | None = None) -> Tensor:
        """The action graphs (B, K-1, V, V) of clips; noise as in `sample_links`."""
        return action_graphs(sample_links(self(clips), uniform), clips.shape[1])


class LinkDecoder(nn.Module):
    """Each next frame from the one before and messages along links; a GRU for each joint."""

    def __init__(self, coordinates: int, hidden: int, types: int, dropout: float) -> None:
        super().__init__()
        real = types - 1  # none sends no message
        self.message1 = nn.ModuleList(nn.Linear(2 * hidden, hidden) for _ in range(real))
        self.message2 = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(real))
        self.hidden = nn.Linear(hidden, 3 * hidden, bias=False)  # reset, update, new
        self.input = nn.Linear(coordinates, 3 * hidden)
        self.out1, self.out2 = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.out3 = nn.Linear(hidden, coordinates)
        self.dropout = Dropout(dropout)

    def forward(self, clips: Tensor, links: Tensor) -> Tensor:
        """Predictions (B, V, T-1, C) of frames 1 to T-1 of `clips`, under links (B, E, K)."""
        weights = on_grid(links[..., 1:], clips.shape[1])  # (B, sender, receiver, K-1)
        seen = clips[:, :, :-1]
        inputs = self.input(seen)  # (B, V, T-1, 3H): all frames are known beforehand
        state = inputs.new_zeros(*clips.shape[:2], self.out1.in_features)
        states = []
        for now in inputs.unbind(2):
            state = self._step(now, state, weights)
            states.append(state)
        x = self.dropout(self.out1(torch.stack(states, dim=2)).relu())
        x = self.dropout(self.out2(x).relu())
        predicted: Tensor = seen + self.out3(x)
        return predicted

    def _step(self, now: Tensor, state: Tensor, weights: Tensor) -> Tensor:
        """The GRU's next state (B, V, H)."""
        # as published, divided by the number of coordinates too
        divisor = len(self.message1) * self.out3.out_features
        messages = self.hidden(self._messages(state, weights) / divisor)
        reset, update, new = now.chunk(3, dim=-1)
        to_reset, to_update, to_new = messages.chunk(3, dim=-1)
        candidate = (new + (reset + to_reset).sigmoid() * to_new).tanh()
        return torch.lerp(candidate, state, (update + to_update).sigmoid())

    def _messages(self, state: Tensor, weights: Tensor) -> Tensor:
        """The sum of what each joint receives (B, V, H)."""
        total = torch.zeros_like(state)
        for kind, (first, second) in enumerate(zip(self.message1, self.message2, strict=True)):
            assert isinstance(first, nn.Linear)
            receiver, sender = first.weight.chunk(2, dim=1)
            grid = functional.linear(state, receiver, first.bias)[:, None]
            grid = (grid + functional.linear(state, sender)[:, :, None]).tanh()
            message = second(self.dropout(grid)).tanh()
            total = total + torch.einsum("bsrh,bsr->brh", message, weights[..., kind])
        return total


class LinkInference(nn.Module):
    """The encoder of links, and the decoder that trains it."""

    def __init__(self, frames: int, hidden: int, types: int, dropout: float) -> None:
        super().__init__()
        self.encoder = LinkEncoder(3 * frames, hidden, types, dropout)
        self.decoder = LinkDecoder(3, hidden, types, dropout)


def sample_links(logits: Tensor, uniform: Tensor | None = None) -> Tensor:
    """One-hot types (B, E, K) with the gradient of their softmax (straight through).

    Drawn by Gumbel noise made of `uniform` (B, E, K) in [0, 1); the most likely without it.
    """
    if uniform is not None:
        logits = logits - torch.log(1e-10 - torch.log(uniform + 1e-10))
    soft = (logits / SAMPLING_TEMPERATURE).softmax(dim=-1)
    hard = functional.one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft.dtype)
    return hard - soft.detach() + soft


def action_graphs(links: Tensor, joints: int) -> Tensor:
    """Graphs (B, K-1, V, V) of the types but none: a joint's weights on its sources sum to 0.1."""
    graphs = on_grid(links[..., 1:], joints).permute(0, 3, 1, 2)
    graphs = graphs + torch.eye(joints, device=links.device, dtype=links.dtype)
    return GRAPH_SCALE * graphs * (1 / graphs.sum(dim=2, keepdim=True) + 1e-10)


def prediction_nll(predicted: Tensor, clips: Tensor) -> Tensor:
    """Of each body (B,): minus log-likelihood of variance 5e-4, mean over joints, sum over time."""
    error = (predicted - clips[:, :, 1:]).square().sum(dim=(1, 2, 3))
    return error / (2 * 5e-4 * clips.shape[1])


def link_divergence(logits: Tensor, joints: int) -> Tensor:
    """Of each body (B,): KL divergence of its links from the prior, sum over pairs by joint."""
    types = logits.shape[-1]
    prior = logits.new_full((types,), 0.05 / (types - 1))
    prior[0] = 0.95
    probability = logits.softmax(dim=-1)
    divergence = probability * (torch.log(probability + 1e-16) - prior.log())
    return divergence.sum(dim=(1, 2)) / joints

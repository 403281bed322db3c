"""The published kind of latency predictor: a multi-layer perceptron on a few normalised features, for comparison.

HAT (section 3.2) trains 3 hidden layers of 400 units on 2000 measurements, AutoTinyBERT (section 3.4) layers of 2000 on
about 10 000; both at a learning rate of 1e-5 in 5000 steps. With tens of measurements those steps hardly move the
weights, so the rate here is higher and its steps fewer.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from sublm.costs.counts import Counts

FEATURES = ("hidden", "layers", "mean neurons", "mean heads x head size")
WIDTH, HIDDEN_LAYERS = 400, 3


def features(counts: Counts) -> np.ndarray:
    """AutoTinyBERT's four features, [N, 4]: means are over the layers that are kept."""
    kept = ((counts.heads > 0) | (counts.neurons > 0)).sum(axis=1)
    layers = np.maximum(kept, 1)
    width = counts.heads.sum(axis=1) * counts.head_size
    return np.stack([counts.hidden, kept, counts.neurons.sum(axis=1) / layers, width / layers], axis=1).astype(float)


@dataclass(frozen=True)
class MLPModel:
    """Milliseconds by a perceptron.

    Attributes:
        network: Normalised features [N, 4] -> share of the largest latency [N, 1].
        norms: What every feature is divided by.
        scale: Milliseconds that the output is a share of.
    """

    network: nn.Sequential
    norms: tuple[float, ...]
    scale: float

    kind = "mlp"

    def predict(self, counts: Counts) -> np.ndarray:
        """Milliseconds, [N]."""
        parts = [np.zeros(0)]
        with torch.inference_mode():
            for part in counts.chunks(20_000):
                inputs = torch.from_numpy(features(part) / np.array(self.norms)).float()
                parts.append(self.network(inputs)[:, 0].double().numpy() * self.scale)
        return np.concatenate(parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the weights as float32, little-endian, in base64."""
        flat = torch.cat([parameter.detach().flatten() for parameter in self.network.parameters()])
        width = self.network[0].out_features
        return {
            "kind": self.kind,
            "features": dict(zip(FEATURES, self.norms, strict=True)),
            "scale": self.scale,
            "width": width,
            "hidden_layers": sum(isinstance(module, nn.Linear) for module in self.network) - 1,
            "weights": base64.b64encode(flat.numpy().astype("<f4").tobytes()).decode(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MLPModel:
        """Reads what `to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: If it is something else.
        """
        network = _network(int(data["width"]), int(data["hidden_layers"]))
        flat = torch.from_numpy(np.frombuffer(base64.b64decode(data["weights"]), dtype="<f4").copy())
        if flat.numel() != sum(parameter.numel() for parameter in network.parameters()):
            raise ValueError("the weights do not fit the width")
        nn.utils.vector_to_parameters(flat, network.parameters())
        return cls(network, tuple(float(data["features"][name]) for name in FEATURES), float(data["scale"]))


def fit_mlp(
    counts: Counts,
    times: np.ndarray,
    seed: int = 0,
    *,
    width: int = WIDTH,
    hidden_layers: int = HIDDEN_LAYERS,
    steps: int = 400,
    learning_rate: float = 1e-3,
) -> MLPModel:
    """Trains a perceptron on measured sub-networks, all of them in every step (at most 128, drawn anew each time).

    Args:
        counts: N measured sub-networks.
        times: Their latencies in milliseconds, [N].
        seed: Of the weights and the batches.
        width: Units of a hidden layer.
        hidden_layers: Hidden layers.
        steps: Steps of Adam.
        learning_rate: Its rate, falling to zero along a cosine.
    """
    rows = features(counts)
    norms, scale = np.maximum(rows.max(axis=0), 1e-9), float(times.max())
    inputs, wanted = torch.from_numpy(rows / norms).float(), torch.from_numpy(times / scale).float()[:, None]
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        network = _network(width, hidden_layers)
        optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            chosen = torch.randperm(len(times))[:128]
            optimizer.zero_grad()
            nn.functional.mse_loss(network(inputs[chosen]), wanted[chosen]).backward()
            optimizer.step()
            schedule.step()
    return MLPModel(network.requires_grad_(False), tuple(norms.tolist()), scale)


def _network(width: int, hidden_layers: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(hidden_layers):
        layers += [nn.Linear(len(FEATURES) if number == 0 else width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 1))

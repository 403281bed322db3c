"""What a search evaluates with: one object that can be sent to a worker."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass

import torch
from torch import nn

from sublm.spaces import Subnet
from sublm.supernet import SuperNet
from sublm.tasks import Encoded, Task, evaluate


@dataclass(frozen=True)
class Evaluator:
    """Scores sub-networks on the search split.

    Attributes:
        supernet: Trained.
        encoded: The rows.
        task: What they are scored by.
        precision: Of the forward passes.
    """

    supernet: SuperNet
    encoded: Encoded
    task: Task
    precision: str

    def __call__(self, subnet: Subnet) -> dict[str, float]:
        """Every metric of the task, and the primary one as `score`."""
        self.supernet.activate(subnet)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a collapsed sub-network predicts one value; its score is NaN
            scores = evaluate(self.supernet.model, self.encoded, self.task, precision=self.precision, threshold=None)
        return {"score": scores[self.task.metric], **scores}


def weights_fingerprint(model: nn.Module) -> str:
    """SHA-256 (hex) of all parameters and buffers by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

"""`sublm` as `torchrun` starts it: FOLDER [arguments ...].

Every process notes in files what it trained and whether it ended connected to the others; with `break` in the folder,
the first one breaks.
"""

import atexit
import json
import os
import sys
import zlib
from pathlib import Path

import torch

import sublm.stages.workspace
from sublm.cli import main
from sublm.training import train

FOLDER, RANK = Path(sys.argv[1]), os.environ["RANK"]


def noted(network, batches, strategy, *arguments, **options):
    if RANK == "0" and (FOLDER / "break").exists():
        raise RuntimeError("broken")
    rows = []

    def seen(epoch):
        for batch in batches(epoch):
            rows.append(batch["index"])
            yield batch

    result = train(network, seen, strategy, *arguments, **options)
    model = network if isinstance(network, torch.nn.Module) else network.model
    note = {
        "steps": result.steps,
        "strategy": type(strategy).__name__,
        "best": result.best_score,
        "rows": checksum(rows),
        "weights": checksum(model.state_dict().values()),
    }
    with (FOLDER / f"trained-{RANK}").open("a") as file:
        file.write(json.dumps(note) + "\n")
    return result


def checksum(tensors):
    found = 0
    for tensor in tensors:
        found = zlib.crc32(tensor.contiguous().numpy().tobytes(), found)
    return found


def note_the_end():
    (FOLDER / f"connected-{RANK}").write_text(str(torch.distributed.is_initialized()))


if __name__ == "__main__":
    atexit.register(note_the_end)  # the first to be registered is the last to be called
    sublm.stages.workspace.train = noted
    sys.exit(main(sys.argv[2:]))

"""`sublm` as `torchrun` starts it: FOLDER [arguments ...].

Every process notes in files what it trained and whether it ended connected to the others; with `break` in the folder,
the first one breaks with an error of that kind in its first training, or of a full disk when it writes the
super-network.
"""

import atexit
import json
import os
import sys
import zlib
from pathlib import Path

import torch

import sublm.stages.supernet
import sublm.stages.workspace
from sublm.cli import main
from sublm.training import train

FOLDER, RANK = Path(sys.argv[1]), os.environ["RANK"]
BREAKS = (FOLDER / "break").read_text() if RANK == "0" and (FOLDER / "break").exists() else None


def full(*_):
    raise OSError(28, "No space left on device", "cake")


def noted(network, batches, strategy, *arguments, **options):
    if BREAKS == "RuntimeError":
        raise RuntimeError("broken")
    if BREAKS == "OSError":
        full()
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
    if BREAKS == "writing":
        sublm.stages.supernet.save_file = full
    sys.exit(main(sys.argv[2:]))

"""`sublm` as `torchrun` starts it: FOLDER [arguments ...].

Every process notes in files what it trained and whether it ended connected to the others; with `break` in the folder,
the first one breaks.
"""

import atexit
import os
import sys
from pathlib import Path

import torch

import sublm.stages.workspace
from sublm.cli import main
from sublm.training import train

FOLDER, RANK = Path(sys.argv[1]), os.environ["RANK"]


def noted(network, batches, strategy, *arguments, **options):
    if RANK == "0" and (FOLDER / "break").exists():
        raise RuntimeError("broken")
    result = train(network, batches, strategy, *arguments, **options)
    with (FOLDER / f"trained-{RANK}").open("a") as file:
        file.write(f"{result.steps} steps of {type(strategy).__name__}, best {result.best_score}\n")
    return result


def note_the_end():
    (FOLDER / f"connected-{RANK}").write_text(str(torch.distributed.is_initialized()))


if __name__ == "__main__":
    atexit.register(note_the_end)  # the first to be registered is the last to be called
    sublm.stages.workspace.train = noted
    sys.exit(main(sys.argv[2:]))

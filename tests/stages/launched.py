"""`sublm` as `torchrun` starts it; every process notes what it trained, in a file: FOLDER [arguments ...]."""

import os
import sys
from pathlib import Path

import sublm.stages.workspace
from sublm.cli import main
from sublm.training import train


def noted(network, batches, strategy, *arguments, **options):
    result = train(network, batches, strategy, *arguments, **options)
    with (Path(sys.argv[1]) / f"trained-{os.environ['RANK']}").open("a") as file:
        file.write(f"{result.steps} steps of {type(strategy).__name__}, best {result.best_score}\n")
    return result


if __name__ == "__main__":
    sublm.stages.workspace.train = noted
    sys.exit(main(sys.argv[2:]))

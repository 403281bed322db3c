"""Settings for all tests: no network, one thread, quiet libraries."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import transformers
from hypothesis import settings

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

# The machine that runs the tests may be busy with others: an example that takes long is no failure.
settings.register_profile("sublm", deadline=None)
settings.load_profile("sublm")

# The tests kill processes, not machines: what was written outlives them in memory and need not wait for the disk.
os.fsync = lambda descriptor: None

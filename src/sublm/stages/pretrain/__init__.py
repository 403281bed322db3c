"""Pre-training: super-networks of masked language models, trained on text, distilled or not, and cut to shapes."""

from sublm.stages.pretrain.fidelity import FidelitySettings, execute_fidelity, measure_fidelity
from sublm.stages.pretrain.folders import cut_from_run, extract_subnet, open_supernet
from sublm.stages.pretrain.job import execute, pretrain
from sublm.stages.pretrain.models import load_student, load_teacher
from sublm.stages.pretrain.reopen import Trained, reopen
from sublm.stages.pretrain.search import execute_search, pretrain_search
from sublm.stages.pretrain.search_settings import SearchSettings
from sublm.stages.pretrain.settings import PretrainSettings
from sublm.stages.pretrain.text import open_text
from sublm.stages.pretrain.validation import Validation, validation_losses, watched

__all__ = [
    "FidelitySettings",
    "PretrainSettings",
    "SearchSettings",
    "Trained",
    "Validation",
    "cut_from_run",
    "execute",
    "execute_fidelity",
    "execute_search",
    "extract_subnet",
    "load_student",
    "load_teacher",
    "measure_fidelity",
    "open_supernet",
    "open_text",
    "pretrain",
    "pretrain_search",
    "reopen",
    "validation_losses",
    "watched",
]

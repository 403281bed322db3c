import json
import platform

import torch
import transformers

from sublm.machine import describe_machine, library_versions, usable_cores


def test_the_description_is_plain_and_names_no_host():
    machine = describe_machine()
    assert {"processor", "cores", "threads", "memory_gib", "device", "python", "torch", "transformers"} <= set(machine)
    assert machine["cores"] == usable_cores() >= 1
    assert machine["processor"]
    assert f'"{platform.node()}"' not in json.dumps(machine)


def test_versions_are_those_installed():
    versions = library_versions()
    assert versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert versions["transformers"] == transformers.__version__

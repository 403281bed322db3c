import pytest

from sublm.errors import MissingPackageError, SubLMError
from sublm.optional import try_import


def test_gives_the_module_asked_for():
    assert try_import("json.decoder", extra="onnx", purpose="Reading").JSONDecoder


def test_a_missing_package_names_the_command_that_installs_it():
    with pytest.raises(
        MissingPackageError, match=r'Flying needs the package no_such_package.*pip install "sublm\[onnx\]"'
    ):
        try_import("no_such_package.wings", extra="onnx", purpose="Flying")


def test_a_missing_package_is_both_an_import_error_and_one_of_ours():
    assert issubclass(MissingPackageError, ImportError)
    assert issubclass(MissingPackageError, SubLMError)

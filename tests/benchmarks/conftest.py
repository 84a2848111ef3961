"""What the tests of the benchmarks share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.load_generators import build_load_generators


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built load generators."""
    missing = [tool for tool in ("cc", "make") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"the load generators need {' and '.join(missing)}")
    folder = tmp_path_factory.mktemp("programs")
    build_load_generators(folder)
    return folder

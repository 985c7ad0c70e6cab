import gc
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.harness.service import Place


@pytest.fixture
def place():
    """Not pytest's tmp_path: the paths of Unix sockets must be short."""
    folder = Path(tempfile.mkdtemp(prefix="app-"))
    yield Place(folder)
    shutil.rmtree(folder)
    gc.unfreeze()

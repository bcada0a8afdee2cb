"""What the tests of notebooks share: where Jupyter may write, and how fast kernels may run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))  # `lab` drives JupyterLab for a script and a test


@pytest.fixture(scope="session", autouse=True)
def _jupyter_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No settings, history or running server of the person's; kernels that share two cores.

    With one thread a matrix product waits for no second one: on a busy machine that is several
    times faster than two.
    """
    home = tmp_path_factory.mktemp("jupyter")
    wanted = {
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in wanted.items():
            patch.setenv(name, value)
        yield

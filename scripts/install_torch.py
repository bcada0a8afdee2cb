"""Install PyTorch alone and first, at the pinned version, without CUDA where there is no GPU.

On Linux the package index's own build of PyTorch brings gigabytes of CUDA libraries. Where no
NVIDIA GPU is found, this asks pip first what it would install; if that includes CUDA, it says
how to avoid it (`make install TORCH_INDEX=...`) and goes on, since the CUDA build works as well.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--constraints", type=Path, required=True)
    parser.add_argument("--index", default="", help="package index to take PyTorch from")
    options = parser.parse_args()
    if importlib.util.find_spec("torch") is not None:
        return 0
    pinned = re.search(r"^torch==\S+", options.constraints.read_text(), re.M)
    if pinned is None:
        print(f"{options.constraints} pins no torch", file=sys.stderr)
        return 1
    command = [sys.executable, "-m", "pip", "install", "--quiet", pinned.group()]
    if options.index:
        command += ["--index-url", options.index]
    elif shutil.which("nvidia-smi") is None:
        warn_of_cuda(command)
    print(f"installing {pinned.group()} (the largest part)", flush=True)
    return subprocess.run(command, check=False).returncode


def warn_of_cuda(command: list[str]) -> None:
    """Say so if pip would bring CUDA to a machine that cannot use it."""
    probe = subprocess.run(
        [*command, "--dry-run", "--report", "-"], check=False, capture_output=True, text=True
    )
    if probe.returncode:
        return  # the installation itself will say what is wrong
    names = [item["metadata"]["name"] for item in json.loads(probe.stdout)["install"]]
    if any(name.startswith(("nvidia", "cuda")) for name in names):
        print(
            "No NVIDIA GPU was found, and pip offers the CUDA build of PyTorch (some 3 GB).\n"
            "To save that: interrupt, and run  make install TORCH_INDEX=<the CPU wheel index>\n"
            "with the address that pytorch.org shows for Linux, Pip, CPU.",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())

"""What a user waits for, measured in fresh processes and printed beside bare IPython.

    python benchmarks/main_job.py [--rounds 5]

`%load_ext` over bare IPython; a cold kernel to the first answer on the sample database with the
bundled model; the second question; memory. Medians. Nothing here asserts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

BARE = """
import time
began = time.perf_counter()
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
bare = time.perf_counter() - began
"""
LOAD = (
    BARE
    + """
import json, sys
began = time.perf_counter()
shell.run_line_magic("load_ext", "sqlcoder_magic")
loading = time.perf_counter() - began
heavy = [m for m in ("torch", "transformers", "pandas", "numpy", "sqlglot") if m in sys.modules]
print(json.dumps({"bare IPython": bare, "%load_ext": loading, "heavy": heavy}))
"""
)
KERNEL = """
import json, os, sys, time
from jupyter_client.manager import KernelManager
manager = KernelManager(kernel_name="python3")
began = time.perf_counter()
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=120)
times = {"kernel start": time.perf_counter() - began}
printed = []
def run(label, code):
    began = time.perf_counter()
    reply = client.execute_interactive(code, timeout=600, output_hook=hook)
    assert reply["content"]["status"] == "ok", reply["content"]
    times[label] = time.perf_counter() - began
def hook(message):
    if message["header"]["msg_type"] == "stream":
        printed.append(message["content"]["text"])
QUESTION = "%%nl2sql --run -c sample\\n"
run("load_ext", "%load_ext sqlcoder_magic")
run("first answer", QUESTION + "List the names and prices of the five most expensive products, "
    "the most expensive first.")
run("second answer", QUESTION + "How many customers live in Chicago?")
run("memory", "import psutil; print('RSS', psutil.Process().memory_info().rss)")
times["memory MB"] = int("".join(printed).split("RSS")[1].split()[0]) / 1e6
times["cold kernel to first answer"] = (
    times["kernel start"] + times["load_ext"] + times["first answer"])
client.stop_channels()
manager.shutdown_kernel(now=True)
print(json.dumps({k: v for k, v in times.items() if k != "memory"}))
"""


def rounds(code: str, count: int) -> dict[str, list[object]]:
    """What `code` prints as JSON, a list a key, over `count` fresh processes."""
    found: dict[str, list[object]] = {}
    for _ in range(count):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
        )
        for key, value in json.loads(done.stdout.splitlines()[-1]).items():
            found.setdefault(key, []).append(value)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    count = parser.parse_args().rounds
    print(f"{os.cpu_count()} CPUs, Python {sys.version.split()[0]}, medians of {count}")
    for code in (LOAD, KERNEL):
        for key, values in rounds(code, count).items():
            if key == "heavy":
                print(f"{'heavy modules imported':<28} {values[0] or 'none'}")
                continue
            numbers = [float(str(value)) for value in values]
            unit = "" if "MB" in key else " s"
            spread = f"{min(numbers):.3f} to {max(numbers):.3f}"
            print(f"{key:<28} {statistics.median(numbers):8.3f}{unit}  ({spread})")


if __name__ == "__main__":
    main()

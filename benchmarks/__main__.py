"""Runs every benchmark, each in a process of its own."""

import subprocess
import sys

for question in ("seeds", "full_size", "flows", "heads", "jacobian"):
    subprocess.run([sys.executable, "-m", f"benchmarks.{question}"], check=True)

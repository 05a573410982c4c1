"""Runs every benchmark, each in a process of its own.

python -m benchmarks          # two CPU cores: 55 minutes
python -m benchmarks device   # what a GPU or TPU is asked first: 8 minutes
"""

import subprocess
import sys

DEVICE = ("kernels", "full_size")
ALL = (
    *DEVICE,
    "systems",
    "baselines",
    "seeds",
    "flows",
    "heads",
    "jacobian",
    "densities",
    "precision",
    "streaming",
    "shards",
    "rows",
    "metrics",
)

for question in DEVICE if sys.argv[1:] == ["device"] else ALL:
    subprocess.run([sys.executable, "-m", f"benchmarks.{question}"], check=True)

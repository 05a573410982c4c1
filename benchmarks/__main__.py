"""Runs every benchmark, each in a process of its own.

python -m benchmarks          # two CPU cores: 60 minutes
python -m benchmarks device   # what a GPU or TPU is asked first: 7 minutes
"""

import subprocess
import sys

from benchmarks import device

ALL = (
    "kernels",
    "full_size",
    "systems",
    "baselines",
    "seeds",
    "flows",
    "flow_memory",
    "heads",
    "jacobian",
    "densities",
    "precision",
    "streaming",
    "shards",
    "rows",
    "metrics",
)

if __name__ == "__main__":
    if sys.argv[1:2] == ["device"]:
        device.main(sys.argv[2:])
    elif sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__)
    elif sys.argv[1:]:
        sys.exit(f"benchmarks: there is only `device`, got {' '.join(sys.argv[1:])}")
    else:
        for question in ALL:
            command = [sys.executable, "-m", f"benchmarks.{question}"]
            subprocess.run(command, check=True)

"""Makes the golden files of the published methods by running the authors' programs.

    python tests/goldens/make.py NAME --repository PATH --check      # same numbers?
    python tests/goldens/make.py NAME --repository PATH --out FILE   # write the file
    python tests/goldens/make.py NAME --repository PATH --out FILE --fresh SEED

The arrays that go in (data, noise and parameters) are those of the committed file,
since the program that drew them first is lost; `--fresh` draws new ones of the same
shapes. All that comes out of the released modules (losses, latents, gradients, images)
is computed anew. `--check` prints, per group of arrays, the largest difference from the
committed file in units of the array's largest number, and fails above 1e-10 in float64
or 1e-5 in float32, and where names, shapes or types of arrays differ.

NAME                repository to clone from GitHub, and its commit
mechanism_sparsity  slachapelle/disentanglement_via_mechanism_sparsity  7fd50de
flow_factorized     KingJamesSong/latent-flow                           6952c93
transforms          KingJamesSong/latent-flow                           6952c93

    git clone https://github.com/KingJamesSong/latent-flow PATH
    git -C PATH checkout 6952c93

In an environment of its own (Python 3.11; jax is not needed):

    pip install torch==2.3.1 torchvision==0.18.1 kornia==0.7.0 "numpy<2"
    pip install tensorboard scipy pillow "setuptools<80"

(torchvision, tensorboard, scipy and pillow are there for the flows' trainer to import.)
`short_runs.npz` is no golden file of a published program: `short_runs.py` makes it.

What is the authors' and what is ours: all networks, transitions, masks, potentials,
priors, image transformations, the evidence bound of mechanism sparsity, and likelihood
and first divergence of the flows are called in the released modules. The training loops
around them need data sets and a run directory, so what they do with the results is
written again: the loss `-mean(elbo) + coeff * reg / 7` in `released_sparsity.py`, the
walk over time in `released_flows.py`. One iteration of the released trainers of the
flows, known index and inferred, with these frames, indices and noise put in place of
their random ones, gave the losses and gradients of the committed file to 3e-14 (the
known one never clears the gradient of `sigma`, and the inferred one adds a term of its
index, which the file leaves out). The trainer of mechanism sparsity was not run.

When it was last run (x86-64, the packages above), the largest difference from the
committed files was 6e-16 for mechanism sparsity, 3e-14 for the flows, and 4e-6 for
images that are rotated in float32; scaled and coloured images were the same.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import released_flows
import released_sparsity
from released import Arrays

__all__ = ["GOLDENS", "check", "main"]

TOLERANCE = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-5}
GOLDENS = {
    "mechanism_sparsity": released_sparsity.GOLDEN,
    "flow_factorized": released_flows.FLOW,
    "transforms": released_flows.TRANSFORMS,
}


def check(found: Arrays, wanted: Arrays, computed: Iterable[str]) -> bool:
    """Prints the differences of two golden files per group of arrays.

    Args:
        found: The arrays of the new file.
        wanted: The arrays of the committed file.
        computed: The names of the arrays that the released modules gave.

    Returns:
        Whether names and shapes are the same and all numbers within the tolerance.
    """
    kinds, committed = _kinds(found), _kinds(wanted)
    differ = {n for n in kinds | committed if kinds.get(n) != committed.get(n)}
    for name in sorted(differ):
        print(f"{name} is {kinds.get(name)}, should be {committed.get(name)}")
    good = not differ
    groups: dict[str, list[float]] = {}
    for name in (name for name in computed if name not in differ):
        largest = np.abs(wanted[name]).max()
        distance = np.abs(found[name] - wanted[name]).max()
        relative = float(distance / (largest or 1.0))
        good &= relative <= TOLERANCE[wanted[name].dtype]
        groups.setdefault(_group(name), []).append(relative)
    for group, relatives in groups.items():
        print(f"{group}: {len(relatives)} arrays, difference {max(relatives):.2g}")
    return good


def _kinds(arrays: Arrays) -> dict[str, str]:
    """Shape and type of every array."""
    return {name: f"{array.dtype} {array.shape}" for name, array in arrays.items()}


def _group(name: str) -> str:
    """`action/grad/NAME` is of `action/grad`, `sup_g_e0` of `sup_g`, `0_3` of `0`."""
    if "/" in name:
        return name.rpartition("/")[0]
    case, *rest = name.split("_")
    return f"{case}_g" if rest[:1] == ["g"] else case


def _at_commit(repository: Path, commit: str) -> bool:
    """Whether a clone is at a commit."""
    command = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.startswith(commit)


def main() -> None:
    """Makes or checks one golden file."""
    parser = argparse.ArgumentParser(description="makes golden files")
    parser.add_argument("name", choices=GOLDENS)
    parser.add_argument("--repository", type=Path, required=True, help="a clone")
    parser.add_argument("--out", type=Path, help="the file to write")
    parser.add_argument("--check", action="store_true", help="compare")
    parser.add_argument("--fresh", type=int, metavar="SEED", help="draw new inputs")
    asked = parser.parse_args()
    if not asked.out and not asked.check:
        parser.error("nothing to do: say --check or --out FILE")
    if asked.check and asked.fresh is not None:
        parser.error("--check compares with the committed inputs: leave out --fresh")
    golden = GOLDENS[asked.name]
    if not _at_commit(asked.repository, golden.commit):
        parser.error(f"{asked.repository} is no clone at commit {golden.commit}")
    sys.path.insert(0, str(asked.repository.resolve()))
    with np.load(Path(__file__).with_name(f"{asked.name}.npz")) as file:
        wanted = dict(file)
    given = golden.draw(asked.fresh or 0)
    if asked.fresh is None:
        given = {name: wanted[name] for name in given}
    computed = golden.compute(given)
    if asked.out:
        with asked.out.open("wb") as out:
            np.savez_compressed(out, **(given | computed))
    if asked.check and not check(given | computed, wanted, computed):
        sys.exit(1)


if __name__ == "__main__":
    main()

"""Do changing domains and sparse mixing complete each other?

CG-VAE with and without the sparsity penalty, with and without a prior for every domain,
as one grid of one program a cell; a seed is an initialisation and a mixing of its own.
Cells differ in the mask, the number of latents and of domains, and some in how the
model is trained. A table and `benchmarks/results/synergy-DEVICE.json` say of each cell

- how many latents theory identifies by sparsity alone, by changes alone (as if the
  mixing were dense), and by both (`identifiability.mixing_report`);
- the MCC (Spearman, held-out rows, mean and sample standard deviation over seeds) of
  neither, changes, sparsity and both, and of the observations as they are;
- paired over seeds, with standard errors: what changes add to sparsity, what sparsity
  adds to changes, and the interaction, `both - sparsity - changes + neither`, with its
  95 % interval. A synergy is an interaction above 0. `trained` are the seeds, the steps
  and the training rows of a domain.

    python -m benchmarks.synergy                     # two CPU cores: an hour
    python -m benchmarks.synergy --seeds 32          # on an accelerator
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import tyro

from benchmarks.timing import finish
from jaxdis import devices, identifiability, runner, statistics, sweep
from jaxdis.data.domains import ToyMixing
from jaxdis.data.domains.toy import Mask
from jaxdis.data.rows import world_of
from jaxdis.systems import sparse_mixing as sm

__all__ = ["CELLS", "Cell", "Options", "main", "row"]

SCORE = "mcc_spearman"
STRONG = 1.5  # that of the presets of a strong mixing
BENT = 0.8  # less: observations score .83
WAYS = ("neither", "changes", "sparsity", "both")


@dataclass(frozen=True)
class Options:
    """What is run.

    Attributes:
      seeds: the number of initialisations and mixings of a cell.
      steps: the number of training steps, where a cell does not say more.
      only: a part of the names of the cells to run.
      samples: the number of training rows of each domain.
      out: the name of the file of results.
    """

    seeds: int = 8
    steps: int = 4_000
    only: str = ""
    samples: int = 3_000
    out: str = "synergy"


@dataclass(frozen=True)
class Cell:
    """One comparison.

    Attributes:
      mask: which latents an observed variable sees.
      count: the number of domains.
      latents: the number of latents.
      tall: whether there are twice as many observed variables as latents.
      alpha: the penalty's weight where it is on.
      longer: the multiple of the steps.
      strength: how strong the mixing is; see `ToyMixing`.
      hyper: further hyper-parameters.
      config: the settings of the model.
      why: what is unlike the other cells.
    """

    mask: Mask
    count: int
    latents: int = 4
    tall: bool = True
    alpha: float = 0.03
    longer: int = 1
    strength: float = 0.0
    hyper: dict[str, float] = field(default_factory=dict)
    config: sm.Config = field(default_factory=sm.Config)
    why: str = ""


def _study(mask: Mask, count: int) -> list[Cell]:
    """The same mixing, trained in other ways."""
    cell = Cell(mask, count)
    return [
        replace(cell, alpha=0.003, why="alpha .003"),
        replace(cell, alpha=0.01, why="alpha .01"),
        replace(cell, longer=4, why="4 x steps"),
        replace(cell, hyper={"beta": 0.03}, why="beta .03"),
        replace(cell, config=sm.Config(bins=16, embedding=16), why="16 bins"),
    ]


CELLS = [
    # Sparsity is enough.
    Cell("ring", 9),
    Cell("ring", 2),
    # Neither is enough alone: the mask leaves blocks, for 2n + 1 domains are missing.
    Cell("nested", 3),
    Cell("nested", 7),
    Cell("block", 5),
    Cell("block", 5, latents=8),
    Cell("nested", 3, latents=8),
    # Both alone should do, or changes alone.
    Cell("nested", 9),
    Cell("block", 9),
    Cell("dense", 9),
    # Nothing does.
    Cell("dense", 3),
    Cell("block", 2),
    # A mixing whose observations score low. Of blocks of 2, sparsity alone identifies
    # no latent, changes alone all from 9 domains on, and both from 5; of the nested
    # mask one, all from 9, and all from 3.
    *(Cell("block", count, strength=STRONG) for count in (2, 3, 5, 7, 9)),
    *(Cell("nested", count, strength=STRONG) for count in (2, 3, 5, 7, 9)),
    *(Cell("ring", count, strength=STRONG) for count in (2, 9)),
    # Half the angle. `benchmarks/results/synergy_bent-cpu.json` is of 2,500 steps and
    # 1,000 rows of a domain, and of blocks alone: below the observations there too.
    *(
        Cell(mask, count, strength=BENT, config=sm.Config(batch=128))
        for mask, count in (("block", 5), ("nested", 3), ("nested", 7))
    ),
    # As many observed variables as latents, where the observations are a sparse code.
    Cell("ring", 9, tall=False),
    Cell("nested", 9, tall=False),
    *_study("block", 5),
    *_study("nested", 3),
]


def name(cell: Cell) -> str:
    """A line's first column."""
    strong = " strong" if cell.strength == STRONG else f" bent {cell.strength:g}"
    form = strong if cell.strength else "" if cell.tall else " square"
    why = f", {cell.why}" if cell.why else ""
    return f"{cell.mask}{form} n={cell.latents} D={cell.count}{why}"


def theory(cell: Cell, mask: np.ndarray) -> dict[str, str]:
    """Latents that are identified by sparsity alone, changes alone, and both."""
    dense = np.ones_like(mask)
    cases = {
        "sparsity": (mask, 1),
        "changes": (dense, cell.count),
        "both": (mask, cell.count),
    }
    found = {
        way: int(identifiability.mixing_report(m, count).identified.sum())
        for way, (m, count) in cases.items()
    }
    return {"theory": "/".join(map(str, found.values())) + f" of {cell.latents}"}


def _paired(difference: np.ndarray) -> str:
    """Mean, standard error and sign count over the seeds that did not fail."""
    gain = statistics.paired_gain(difference, np.zeros_like(difference))
    wins = f"{gain.positive}/{gain.seeds}"
    return f"{gain.mean:+.3f} ({gain.standard_error:.3f}) {wins}"


def _interval(difference: np.ndarray) -> str:
    """The 95 % interval of the mean over the seeds that did not fail."""
    low, high = statistics.interval(difference)
    return f"{low:+.3f} to {high:+.3f}"


def row(cell: Cell, options: Options) -> dict[str, Any]:
    """Trains a cell's grid, and compares.

    Args:
      cell: what is compared.
      options: how long, and over how many seeds.
    """
    seeds, steps = options.seeds, options.steps * cell.longer
    data = ToyMixing(
        mask=cell.mask,
        domains=cell.count,
        z_dim=cell.latents,
        tall=cell.tall,
        strength=cell.strength,
        samples=options.samples,
        worlds=seeds,
    )
    method, spec = sm.METHOD, data.spec()
    system = method.make(cell.config, spec)
    base = sm.default_hyper(cell.config, spec, steps)._asdict() | cell.hyper
    points = [
        base | {"alpha": alpha, "conditioning": conditioning}
        for alpha in (0.0, cell.alpha)
        for conditioning in (0.0, 1.0)
    ]
    keys, hyper = sweep.lay_out(sweep.seed_keys(seeds), method.hyper, points)
    made, world = method.batches(cell.config, spec, data.load()), None
    if spec.worlds is not None:
        world = np.tile(world_of(np.arange(seeds), spec.worlds), len(points))
    result = runner.run(
        system, made.sample, keys, hyper, steps=steps, chunk=steps, world=world
    )
    evaluate = runner.evaluator(system, made.test, keys, world=world)
    figures = evaluate(result.rows.state)
    scores = np.where(result.rows.failed, np.nan, figures[SCORE]).reshape(4, seeds)
    floor = figures["mcc_observed"].reshape(4, seeds)[0]
    neither, changes, sparsity, both = scores
    assert spec.truth.mask is not None
    return {
        "cell": name(cell),
        **theory(cell, spec.truth.mask),
        "observed": f"{floor.mean():.3f}",
        **{
            way: f"{statistics.mean(values):.3f} ({statistics.deviation(values):.3f})"
            for way, values in zip(WAYS, scores, strict=True)
        },
        "changes add": _paired(both - sparsity),
        "sparsity adds": _paired(both - changes),
        "interaction": _paired(both - sparsity - changes + neither),
        "interval": _interval(both - sparsity - changes + neither),
        "scores": scores.tolist(),
        "trained": [seeds, steps, options.samples],
    }


def main(options: Options) -> None:
    """Prints each cell as it is ready: they take minutes."""
    devices.use_all_cores()
    rows: list[dict[str, Any]] = []
    for cell in CELLS:
        if options.only in name(cell):
            rows.append(row(cell, options))
            print(
                {k: v for k, v in rows[-1].items() if k not in ("scores", "trained")},
                flush=True,
            )
    finish(options.out, rows)


if __name__ == "__main__":
    main(tyro.cli(Options))

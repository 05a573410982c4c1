"""Invented records of runs without true latents, with answers that are known."""

import numpy as np

from jaxdis.metrics import AGREEMENT, DEAD, MCC
from jaxdis.report.read import Group, Record
from jaxdis.types import Score

NLL = Score("nll", "NLL", "lower")
STEPS = np.array([1])


def make_group(label="", hyper=None, failed=(), floors=None, **final):
    """A grid point with those scores, a number per seed."""
    final = {name: np.array(values, float) for name, values in final.items()}
    seeds = len(next(iter(final.values())))
    lost = np.isin(range(seeds), failed)
    floors = floors or {}
    return Group(label, hyper or {}, list(range(seeds)), lost, final, STEPS, {}, floors)


def make_record(
    groups, udr=None, sparser=None, z_dim=0, arrays=None, declared=None, **results
):
    """A run that says which of its scores need truth."""
    scores = {s.name: s for s in (MCC, NLL, AGREEMENT, DEAD)}
    scores = {n: s for n, s in scores.items() if any(n in g.final for g in groups)}
    results |= {
        "scores": {n: {"title": s.title, "truth": s.truth} for n, s in scores.items()},
        "udr": udr,
        "sparser": sparser or {},
        "arrays": declared or {},
    }
    arrays = arrays or {}
    return Record("a/b", {}, results, groups, {"z_dim": z_dim}, scores, arrays)


def grid(nll, udr, values=(5.0, 10.0, 20.0), sparser=None):
    """A sweep of `bound`: a row of seeds and a UDR per point."""
    groups = [
        make_group(f"bound {v:g}", {"bound": v, "beta": 1.0}, nll=row)
        for v, row in zip(values, nll, strict=True)
    ]
    return make_record(groups, list(udr), sparser)

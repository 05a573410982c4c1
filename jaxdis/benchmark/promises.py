"""What theory promises a method on data: by what the method learns to be sparse.

A graph of latents promises something to a method that learns such a graph, supports of
tasks to one that learns heads, a mask to one whose decoder is learned to be as sparse;
and domains alone to a method that takes nothing else of the data. A method that sees
the observations alone is promised nothing, whatever the data. Of others this library
knows no theory, and says so.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxdis.identifiability import (
    Promise,
    promise_of_graphs,
    promise_of_mixing,
    promise_of_tasks,
)
from jaxdis.identifiability.promises import in_words
from jaxdis.types import Method, Spec

__all__ = ["KINDS", "NO_THEORY", "X_ALONE", "Promised", "promised"]

KINDS = ("all", "part", "nothing", "broken", "unknown")
"""Each latent a code of its own; blocks, or some latents; nothing; what would be
promised does not hold; no theory is known here."""
NO_THEORY = "no theory known here"
X_ALONE = (
    "nothing: by the observations alone, latents behind a mixing that may be nonlinear "
    "cannot be told from others that are mixed of them"
)
"""Hyvärinen and Pajunen 1999; Locatello et al. 2019 (arXiv 1811.12359), Theorem 1."""
OBSERVED = "observed"  # the word for observed variables in declared axes


class Promised(NamedTuple):
    """What theory promises a method on data.

    Attributes:
      kind: one of `KINDS`.
      words: the promise in words, or why there is none.
    """

    kind: str
    words: str


def _uses(method: Method, field: str) -> bool:
    """Whether a method may take a field of the data."""
    every = [(n,) if isinstance(n, str) else n for n in method.needs]
    return any(field in options for options in every)


def _learned(method: Method) -> list[str]:
    """What a row is of each matrix that it learns, as "child" or "observed"."""
    axes = [method.arrays.get(name, "").split() for name in method.graphs]
    return [one[1] for one in axes if len(one) > 1]


def _graphs(method: Method, spec: Spec) -> Promise | None:
    gz = spec.truth.gz if spec.steps else None
    ga = spec.truth.ga if spec.a_dim else None
    of_latents = set(_learned(method)) - {OBSERVED}
    if (gz is None and ga is None) or not of_latents:
        return None
    return promise_of_graphs(gz, ga)


def _tasks(method: Method, spec: Spec) -> Promise | None:
    if spec.truth.supports is None or not method.heads:
        return None
    return promise_of_tasks(spec.truth.supports)


def _mixing(method: Method, spec: Spec) -> Promise | None:
    if spec.truth.mask is None or OBSERVED not in _learned(method):
        return None
    return promise_of_mixing(spec.truth.mask, max(1, len(spec.domains)))


def _changes(method: Method, spec: Spec) -> Promise | None:
    """Of domains alone, whatever the mixing."""
    learns = method.graphs or method.heads
    if learns or not spec.domains or not spec.z_dim or not _uses(method, "u"):
        return None
    size = len(spec.truth.mask) if spec.truth.mask is not None else spec.z_dim
    return promise_of_mixing(np.ones((size, spec.z_dim), int), len(spec.domains))


_THEORIES: tuple[Callable[[Method, Spec], Promise | None], ...] = (
    _graphs,
    _tasks,
    _mixing,
    _changes,
)


def promised(method: Method, spec: Spec, breaks: str = "") -> Promised:
    """What theory promises a method on data.

    Args:
      method: the method.
      spec: what is known of the data, with the truth.
      breaks: what they break beside what the data set says itself.
    """
    for theory in _THEORIES:
        promise = theory(method, spec)
        if promise is None:
            continue
        words = in_words(promise)
        if clause := "; ".join(filter(None, (spec.breaks, breaks))):
            return Promised("broken", f"{clause} (else: {words})")
        if promise.identified.all():
            return Promised("all", words)
        nothing = promise.pattern.all() and len(promise.pattern) > 1
        return Promised("nothing" if nothing else "part", words)
    if method.needs == ("x",) and not method.graphs and not method.heads:
        return Promised("nothing", X_ALONE)
    return Promised("unknown", NO_THEORY)

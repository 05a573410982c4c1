"""What the tests of rendered sequences share."""

import copy
import itertools

import jax
import numpy as np

from jaxdis.data.rows import sampler

PAIRS = set(itertools.permutations(range(3), 2))
_draw = jax.jit(lambda sample, key: sample(key))


def drawn(splits, batch, seed=0):
    """A batch of training sequences."""
    return _draw(sampler(splits.train, batch), jax.random.key(seed))


def training_starts(splits):
    """For each transformation, where its training sequences start."""
    _, starts, counts, _ = splits.train.draw.args
    pairs = zip(starts, counts, strict=True)
    return [set(np.asarray(row[:count]).tolist()) for row, count in pairs]


def held_out(splits):
    """Valid and test rows, each with its controls by name."""
    for number, rows in enumerate((splits.valid, splits.test)):
        yield rows, {name: both[number] for name, both in splits.controls.items()}


def forced(data, field, value):
    """A data set with a value that its annotation does not allow."""
    changed = copy.copy(data)
    object.__setattr__(changed, field, value)
    return changed

"""Sizes for what a config leaves to the data."""

import math
from dataclasses import replace

import numpy as np

from jaxdis.systems.shared_features.columns import columns_of, known_labels
from jaxdis.systems.shared_features.config import Config
from jaxdis.types import Spec

__all__ = ["sized"]

SHOTS = (1, 5, 10)
NUMBERS = (5, 10, 20, 40)  # samples of one number each


def sized(config: Config, spec: Spec) -> Config:
    """A config with sizes for what it leaves to the data.

    As many features as there are label columns to learn from, or true factors, between
    8 and 32 and no more than x has numbers; convolutions for images whose sides are
    multiples of 16; a support and a query of 25 samples, or 5 of each class if that is
    more, where a tenth of the rows of a domain is as many; shots that leave most of a
    held-out tenth of the rows to judge by.

    Args:
      config: the config; a z_dim, support or query of 0, no network and no shots are
        left to the data. A test_query of 0 is left to the rows that are there.
      spec: what is known of the data.
    """
    columns = columns_of(spec)
    known = known_labels(config.new_labels, columns)
    features = int(np.clip(max(len(known), spec.z_dim), 8, 32))
    features = max(min(features, math.prod(spec.shape)), spec.z_dim)
    whole = len(spec.shape) == 3 and not (spec.shape[0] % 16 or spec.shape[1] % 16)
    rows = 10**6 if spec.rows is None else spec.rows // max(len(spec.domains), 1)
    part = int(np.clip(rows // 10, 5, max(25, 5 * columns.outputs)))
    most = rows // 16 // columns.outputs
    sizes = SHOTS if columns.classes else NUMBERS
    shots = tuple(k for k in sizes if k <= most) or sizes[:1]
    return replace(
        config,
        z_dim=config.z_dim or features,
        network=config.network or ("conv" if whole else "mlp"),
        support=config.support or part,
        query=config.query or part,
        shots=config.shots or shots,
    )

"""Numbers over seeds."""

import numpy as np


def mean(values):
    values = np.asarray(values, float)
    there = np.isfinite(values)
    n = there.sum(-1)
    total = np.where(there, values, 0.0).sum(-1)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def deviation(values):
    values = np.asarray(values, float)
    there = np.isfinite(values)
    n = there.sum(-1)
    square = np.where(there, (values - mean(values)[..., None]) ** 2, 0.0).sum(-1)
    return np.where(n > 1, np.sqrt(square / np.maximum(n - 1, 1)), np.nan)

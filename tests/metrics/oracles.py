"""Metrics as plainly as the published programs compute them."""

from scipy.stats import entropy

__all__ = ["dci_oracle"]


def dci_oracle(m):
    """D and C as disentanglement_lib computes them."""
    d = 1 - entropy(m.T + 1e-11, base=m.shape[1])
    c = 1 - entropy(m + 1e-11, base=m.shape[0])
    return (d * m.sum(1)).sum() / m.sum(), (c * m.sum(0)).sum() / m.sum()

"""What the runs of the authors' programs share."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch

__all__ = ["Arrays", "Golden", "as_arrays", "fixed_noise"]

Arrays = dict[str, np.ndarray]


class Golden(NamedTuple):
    """One golden file.

    Attributes:
        commit: The first digits of the commit of the authors' repository.
        draw: New arrays that go into the released modules, from a seed.
        compute: The arrays that come out of them, from those that go in.
    """

    commit: str
    draw: Callable[[int], Arrays]
    compute: Callable[[Arrays], Arrays]


@contextmanager
def fixed_noise(eps: torch.Tensor) -> Iterator[None]:
    """Within this context the released modules draw `eps` as their normal noise."""

    def drawn(like: torch.Tensor) -> torch.Tensor:
        return eps.reshape(like.shape)

    with mock.patch.object(torch, "randn_like", drawn):
        yield


def as_arrays(tensors: Mapping[str, torch.Tensor | float]) -> Arrays:
    """Tensors as arrays, cut from their graph; plain numbers as arrays without axes."""
    return {
        name: torch.as_tensor(value).detach().numpy() for name, value in tensors.items()
    }

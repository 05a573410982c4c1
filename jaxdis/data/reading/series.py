"""One long series, cut into windows that never leave an episode."""

import numpy as np
from jaxtyping import Int

from jaxdis import check, log
from jaxdis.data.memory import check_memory

__all__ = ["WINDOW", "cut", "unrolled", "windows"]

WINDOW = 2  # observations of a window: one transition


def windows(
    episode: Int[np.ndarray, "n"], window: int | None, stride: int | None
) -> Int[np.ndarray, "m t"]:
    """The rows of each window of a series, in the order of the series.

    Windows begin at the first row of an episode and every `stride` rows after it, as
    long as they fit. Rows behind the last window of an episode are left out, and so are
    episodes that are shorter than a window.

    Args:
      episode: the number of the episode of each row; the rows of an episode are
        consecutive and in the order of time.
      window: the number of observations of a window; 2 if None.
      stride: the number of rows between the first rows of two windows; `window - 1` if
        None, at least 1, so that every transition is in one window.

    Raises:
      ValueError: a window or a stride below 1, an episode in several pieces, or none
        that is long enough.
    """
    window = WINDOW if window is None else window
    check.at_least("data.window", window, 1)
    stride = max(1, window - 1) if stride is None else stride
    check.at_least("data.stride", stride, 1)
    begin = np.flatnonzero(np.r_[True, np.diff(episode) != 0])
    torn = (np.unique(episode[begin], return_counts=True)[1] > 1).sum()
    if torn:
        raise ValueError(
            f"data.episode must keep the rows of an episode together; {torn} come in "
            "several pieces: sort the rows by episode and time"
        )
    length = np.diff(np.r_[begin, len(episode)])
    short = length < window
    if short.all():
        raise ValueError(
            f"data.window must be at most the length of the longest episode, "
            f"{length.max()}; got {window}"
        )
    if short.any():
        log.note(
            f"{short.sum()} of {len(begin)} episodes are shorter than a window of "
            f"{window} and are left out"
        )
    starts = [
        np.arange(first, first + rows - window + 1, stride)
        for first, rows in zip(begin[~short], length[~short], strict=True)
    ]
    return np.concatenate(starts)[:, None] + np.arange(window)


def cut(array: np.ndarray, rows: Int[np.ndarray, "m t"]) -> np.ndarray:
    """The observations of each window `[m, t, ...]`; of windows of one, `[m, ...]`.

    Args:
      array: the series `[n, ...]`.
      rows: the rows of each window.

    Raises:
      ValueError: windows that do not fit into memory.
    """
    check_memory("data.x in windows", rows.size * array[0].nbytes)
    return array[rows] if rows.shape[1] > 1 else array[rows[:, 0]]


def unrolled(sequences: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sequences one after the other as one series, each an episode of its own.

    Args:
      sequences: arrays `[n, t, ...]` of x, a and z; arrays `[n, ...]` of the rest,
        which hold for all steps of a sequence.

    Raises:
      ValueError: the actions have other steps than the observations.
    """
    n, t = sequences["a"].shape[:2]
    if sequences["x"].shape[:2] != (n, t):
        raise ValueError(
            "data.a must be [n, a], or [n, t, a] with the sequences of data.x; got "
            f"shape {sequences['a'].shape} and data.x {sequences['x'].shape}"
        )
    out = {
        name: array.reshape(n * t, *array.shape[2:])
        if name in ("x", "a") or (name == "z" and array.ndim == 3)
        else np.repeat(array, t, 0)
        for name, array in sequences.items()
    }
    return out | {"group": np.repeat(np.arange(n), t)}

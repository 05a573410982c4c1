"""A file of features that you extracted, with labels and domains."""

import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jaxdis.data.files import read_npz
from jaxdis.types import Label, Rows, Spec, Splits

__all__ = ["NO_FILE", "FeatureFile", "Features", "read_features"]

VALID_SHARE = 0.2
NO_FILE = (
    "data.file must name an npz with `features` [n, m], `labels` [n] and `domains` [n]"
)


@dataclass(frozen=True)
class Features:
    """Features of several domains, of which one is held out.

    The test rows are those of the target domain; of every other domain a fifth is
    valid, the rest is for training. Features are standardised by the mean and the
    deviation of all rows but the target's.

    Attributes:
      file: an npz of `features [n, m]`, `labels [n]` or `[n, l]`, and `domains [n]`.
      target: the domain of the test rows; the last one by name if left out.
      seed: the seed of the splits.
    """

    file: str | None = None
    target: str | None = None
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names; the file is read for them.

        Raises:
          ValueError: no file, one that is not what it should be, or a target that it
            does not have.
        """
        found = self._read()
        self._target(found)
        columns = found.y.shape[1]
        names = [f"label {i}" for i in range(columns)] if columns > 1 else ["label"]
        return Spec(
            shape=found.x.shape[1:],
            domains=found.domains,
            labels=tuple(Label(name, found.classes) for name in names),
        )

    def load(self) -> Splits:
        """Rows by domain.

        Raises:
          ValueError: as `spec`.

        Warns:
          UserWarning: features that are constant in the other domains; they become 0.
        """
        found = self._read()
        target = self._target(found)
        x = _standardised(found.x, np.flatnonzero(found.u != target))
        rng = np.random.default_rng(self.seed)
        train, valid = [], []
        for domain in range(len(found.domains)):
            rows = rng.permutation(np.flatnonzero(found.u == domain))
            kept = round(VALID_SHARE * len(rows))
            if domain != target:
                train.append(rows[kept:])
                valid.append(rows[:kept])
        test = np.flatnonzero(found.u == target)

        def rows_of(some: np.ndarray) -> Rows:
            u, y = (jnp.asarray(a[some], jnp.int32) for a in (found.u, found.y))
            return Rows(jnp.asarray(x[some]), u=u, y=y)

        return Splits(
            train=rows_of(np.concatenate(train)),
            valid=rows_of(np.concatenate(valid)),
            test=rows_of(test),
        )

    def _read(self) -> "FeatureFile":
        if self.file is None:
            raise ValueError(NO_FILE)
        return read_features(Path(self.file))

    def _target(self, found: "FeatureFile") -> int:
        target = found.domains[-1] if self.target is None else self.target
        if target not in found.domains:
            raise ValueError(
                f"data.target must be one of {', '.join(found.domains)}, got {target!r}"
            )
        return found.domains.index(target)


class FeatureFile(NamedTuple):
    """What a file holds.

    Attributes:
      x: the features.
      y: the labels, each column 0 .. classes - 1.
      u: the number of each row's domain.
      domains: the names of the domains.
      classes: the number of classes of every label column.
    """

    x: Float[np.ndarray, "n x"]
    y: Int[np.ndarray, "n l"]
    u: Int[np.ndarray, "n"]
    domains: tuple[str, ...]
    classes: int


def read_features(path: Path) -> FeatureFile:
    """Reads `features [n, m]`, `labels [n]` or `[n, l]` and `domains [n]` of an npz.

    Labels and domains may be numbers or strings. A file is read once, until it changes.

    Raises:
      ValueError: no such file or array, unequal lengths, NaN, one class or one domain
        only, label columns with different numbers of classes.
    """
    # What is not there is explained by the reader.
    return _read_once(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=1)
def _read_once(path: Path, modified: int) -> FeatureFile:
    found = read_npz(path, ("features", "labels", "domains"))
    x, labels, domains = (found[k] for k in ("features", "labels", "domains"))
    labels = labels.reshape(len(labels), -1) if labels.ndim else labels
    n = len(x) if x.ndim == 2 else 0
    if not n or labels.shape[:1] != (n,) or domains.shape != (n,):
        raise ValueError(
            "data.file must hold features [n, m], labels [n] or [n, l] and domains "
            f"[n]; {path} has {found['features'].shape}, {found['labels'].shape} and "
            f"{domains.shape}"
        )
    if x.dtype.kind not in "biuf":
        raise ValueError(f"data.file must hold features that are numbers: {path}")
    for name, values in (("features", x), ("labels", labels)):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"data.file holds NaN or infinite {name}: {path}")
    y, classes = _number_labels(labels, path)
    names, u = np.unique(domains, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"data.file must hold at least 2 domains, to learn from some and adapt to "
            f"another; {path} has {names.tolist()}"
        )
    kinds = tuple(map(str, names.tolist()))
    return FeatureFile(x.astype(np.float32), y, u, kinds, classes)


def _number_labels(
    labels: np.ndarray, path: Path
) -> tuple[Int[np.ndarray, "n l"], int]:
    """Each column's classes from 0, and how many they are."""
    columns = [np.unique(column, return_inverse=True) for column in labels.T]
    counts = {len(names) for names, _ in columns}
    if len(counts) != 1 or min(counts) < 2:
        raise ValueError(
            "data.file must hold labels with the same number of classes, at least 2, "
            f"in every column; {path} has {sorted(counts)}"
        )
    return np.stack([index for _, index in columns], 1), counts.pop()


def _standardised(
    values: Float[np.ndarray, "n x"], source: Int[np.ndarray, "s"]
) -> Float[np.ndarray, "n x"]:
    """Values by the mean and deviation of the source rows; constant ones become 0."""
    x = values[source].astype(np.float64)
    mean, std = x.mean(0), x.std(0)
    constant = std <= 1e-7 * (1 + np.abs(mean))
    if constant.any():
        warnings.warn(
            f"features {np.flatnonzero(constant).tolist()} are constant in the source "
            "domains and cannot be standardised; they are set to 0",
            stacklevel=3,
        )
    std[constant] = np.inf
    return ((values - mean) / std).astype(np.float32)

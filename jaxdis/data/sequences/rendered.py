"""Sequences that are rendered on the device, when they are needed.

Every kind of data is a function `render(start, amounts)`: the frame at `start` after so
many steps of each transformation. Training draws a start and a transformation; held-out
sequences take all transformations in turn, and further ones show two transformations at
once, one after the other, and more steps than were trained.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from jaxdis import check
from jaxdis.data.rows import bind
from jaxdis.types import PRNGKey, Rows, Source, Splits

__all__ = [
    "DRAWS",
    "PARTS",
    "Family",
    "Sequences",
    "Settings",
    "check_settings",
    "held_out",
    "splits",
]


@runtime_checkable
class Settings(Protocol):
    """What all data sets of rendered sequences are told.

    Attributes:
      steps: the number T of steps; a sequence has T + 1 frames.
      index_per: whether every "sample" has a transformation of its own, or the "batch".
      eval_split: "heldout", or "train" for held-out sequences that are none, but were
        seen in training, as released.
      held_out: the share of the starts for each of valid and test.
      valid_rows: the number of sequences that are scored between chunks.
      test_rows: the number of sequences that are scored at the end.
      fit_rows: the number of training sequences for what is fitted after training.
    """

    @property
    def steps(self) -> int: ...
    @property
    def index_per(self) -> str: ...
    @property
    def eval_split(self) -> str: ...
    @property
    def held_out(self) -> float: ...
    @property
    def valid_rows(self) -> int: ...
    @property
    def test_rows(self) -> int: ...
    @property
    def fit_rows(self) -> int: ...


class Family(NamedTuple):
    """What sequences are rendered from.

    Attributes:
      render: `(start, amounts [k]) -> frame`, a pytree function.
      train: the starts of training sequences, for every transformation.
      valid: the starts of sequences that are scored between chunks.
      test: the starts of sequences that are scored at the end.
      new: for every start whether its class was left out of training; None where there
        are no classes that could be.
      longer: the number of frames that held-out sequences go on after frame T.
      together: `(start, k, other) -> start` for two transformations at once, where this
        differs from the start of one.
    """

    render: Partial
    train: Sequence[Int[np.ndarray, "_"]]
    valid: Sequence[Int[np.ndarray, "_"]]
    test: Sequence[Int[np.ndarray, "_"]]
    new: Bool[np.ndarray, "_"] | None = None
    longer: int = 0
    together: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None


class Sequences(NamedTuple):
    """What is shown, before it is rendered.

    Attributes:
      starts: where each sequence starts.
      k: its transformation, or the two of it.
      amounts: how far every transformation has gone in each frame.
    """

    starts: Int[np.ndarray, "r"]
    k: Int[Array, "r"] | Int[Array, "r 2"]
    amounts: Float[Array, "r t k"]


def _own_index(key: PRNGKey, batch: int, names: int) -> Int[Array, "b"]:
    return jax.random.randint(key, (batch,), 0, names)


def _common_index(key: PRNGKey, batch: int, names: int) -> Int[Array, "b"]:
    return jnp.broadcast_to(jax.random.randint(key, (1,), 0, names), (batch,))


DRAWS = {"sample": _own_index, "batch": _common_index}
"""How `index_per` draws the transformations of a batch: `(key, batch, K) -> k`."""

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]

PARTS: dict[str, Callable[[Parts], Parts]] = {
    "heldout": lambda parts: parts,
    "train": lambda parts: (parts[0],) * 3,
}
"""What `eval_split` makes of train, valid and test."""


def check_settings(settings: Settings) -> None:
    """Raises ValueError, naming the field, for a setting that is out of range."""
    check.one_of("data.index_per", settings.index_per, DRAWS)
    check.one_of("data.eval_split", settings.eval_split, PARTS)
    check.at_least("data.steps", settings.steps, 1)
    check.shares("data.held_out", settings.held_out)
    for field in ("valid_rows", "test_rows", "fit_rows"):
        check.at_least(f"data.{field}", getattr(settings, field), 1)


def splits(settings: Settings, family: Family) -> Splits:
    """Training sequences as a source, held-out ones as rows.

    The controls have a row for each held-out sequence: "longer" are frames T + 1, ...
    of the same transformation; "superposed" and "switched" show a second one, both at
    once or the other after T // 2 steps, and their k has both; "fitting" are training
    sequences, the same for valid and test.

    Args:
      settings: of the data set.
      family: what the sequences are rendered from.

    Raises:
      ValueError: fewer held-out sequences than transformations.
    """
    names, steps = len(family.train), settings.steps
    rows = (settings.valid_rows, settings.test_rows)
    if min(rows) < names:
        raise ValueError(
            "data.valid_rows and data.test_rows must hold a sequence of each of the "
            f"{names} transformations, got {rows[0]} and {rows[1]}"
        )
    counts = np.array([len(starts) for starts in family.train])
    padded = np.stack([np.resize(starts, counts.max()) for starts in family.train])
    new = None if family.new is None else jnp.asarray(family.new)
    draw = bind(_draw, DRAWS[settings.index_per], steps)
    source = Partial(draw, family.render, jnp.asarray(padded), jnp.asarray(counts), new)
    valid, test = (
        {
            name: _rows(family, *sequences)
            for name, sequences in held_out(family, steps, starts, n).items()
        }
        for starts, n in zip((family.valid, family.test), rows, strict=True)
    )
    first, k, _ = _in_turn(family.train, settings.fit_rows)
    fitting = _rows(family, first, k, _along(k, jnp.arange(steps + 1.0), names))
    controls = {name: (valid[name], test[name]) for name in valid.keys() - {"rows"}}
    controls["fitting"] = (fitting, fitting)
    return Splits(Source(source), valid["rows"], test["rows"], controls)


def _along(
    k: Int[Array, "*b"], amounts: Float[Array, "t"], names: int
) -> Float[Array, "*b t k"]:
    """Amounts of a transformation that goes on by itself."""
    return jnp.einsum("t,...k->...tk", amounts, jax.nn.one_hot(k, names))


@jax.jit
def _frames(
    render: Partial, starts: Int[Array, "b"], amounts: Float[Array, "b t k"]
) -> Float[Array, "b t h w c"]:
    """Frames of many sequences."""
    one_sequence = jax.vmap(render, (None, 0))
    return jax.vmap(one_sequence)(starts, amounts)


def _rows(
    family: Family,
    starts: Int[np.ndarray, "r"],
    k: Int[Array, "r"] | Int[Array, "r 2"],
    amounts: Float[Array, "r t k"],
) -> Rows:
    y = None if family.new is None else jnp.asarray(family.new[starts][:, None])
    y = None if y is None else y.astype(int)
    return Rows(_frames(family.render, jnp.asarray(starts), amounts), y=y, k=k)


def _in_turn(
    starts: Sequence[np.ndarray], rows: int
) -> tuple[Int[np.ndarray, "r"], Int[Array, "r"], Int[np.ndarray, "r"]]:
    """For each row where it starts, a transformation in turn, and the turn's number."""
    turn, k = np.divmod(np.arange(rows), len(starts))
    pairs = zip(k, turn, strict=True)
    first = np.array([starts[i][j % len(starts[i])] for i, j in pairs])
    return first, jnp.asarray(k), turn


def held_out(
    family: Family, steps: int, starts: Sequence[np.ndarray], rows: int
) -> dict[str, Sequences]:
    """Rows in turn of every transformation, and of every pair of them; see `splits`.

    Args:
      family: what the sequences are rendered from.
      steps: the number T of steps.
      starts: where sequences start, for every transformation.
      rows: the number of sequences of each kind.

    Returns:
      The sequences by the name of the control; "rows" are those of the split itself.
    """
    names, times = len(starts), jnp.arange(steps + 1.0)
    first, k, turn = _in_turn(starts, rows)
    made = {"rows": Sequences(first, k, _along(k, times, names))}
    if family.longer:
        more = jnp.arange(steps + 1.0, steps + 1.0 + family.longer)
        made["longer"] = Sequences(first, k, _along(k, more, names))
    if names > 1:
        other = (k + 1 + jnp.asarray(turn % (names - 1))) % names
        if family.together is not None:
            first = family.together(first, np.asarray(k), np.asarray(other))
        half, both = steps // 2, jnp.stack([k, other], 1)
        at_once = _along(k, times, names) + _along(other, times, names)
        before, after = jnp.minimum(times, half), jnp.maximum(times - half, 0)
        in_turn = _along(k, before, names) + _along(other, after, names)
        made["superposed"] = Sequences(first, both, at_once)
        made["switched"] = Sequences(first, both, in_turn)
    return made


def _draw(
    choose: Callable[[PRNGKey, int, int], Array],
    steps: int,
    render: Partial,
    starts: Int[Array, "k m"],
    counts: Int[Array, "k"],
    new: Bool[Array, "_"] | None,
    key: PRNGKey,
    batch: int,
) -> Rows:
    """Draws sequences; `starts` of each transformation are padded to equal length."""
    index_key, row_key = jax.random.split(key)
    names = len(counts)
    k = choose(index_key, batch, names)
    row = jax.random.randint(row_key, (batch,), 0, counts[k])
    first = starts[k, row]
    amounts = _along(k, jnp.arange(steps + 1.0), names)
    y = None if new is None else new[first][:, None].astype(int)
    return Rows(_frames(render, first, amounts), y=y, k=k)

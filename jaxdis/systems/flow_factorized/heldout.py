"""What the method makes of splits: batches to train on, and sequences to score."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num, Shaped

from jaxdis import check
from jaxdis.data import rows
from jaxdis.systems.flow_factorized.build import build
from jaxdis.systems.flow_factorized.config import Config
from jaxdis.systems.flow_factorized.networks import pixels
from jaxdis.types import Batches, Rows, Spec, Splits

__all__ = ["HeldOut", "batches", "first_of_each", "mean_of", "of_seen_classes"]

VALID_ROWS = 2_000  # that are scored between chunks, at most
FIT_ROWS = 960  # training sequences that linear steps are fitted to
ROW_BY_ROW = ("longer", "superposed", "switched")  # controls that go with held-out rows


class HeldOut(NamedTuple):
    """Sequences of images that training never saw, one row each.

    Attributes:
      x: the frames 0 .. T, in [0, 1].
      k: the transformation of each, 0 where it is not known.
      new_class: whether its class was left out of training altogether; None where
        none was.
      longer: the frames T + 1, ... of the same transformation; None if there are none.
      other: a second transformation; this and the next two are None without pairs.
      superposed: the frames of both transformations at once.
      switched: the frames of k for t <= T // 2, then of the other.
      fitting: training sequences, for what is fitted after training; None elsewhere.
    """

    x: Float[Array, "r t h w c"]
    k: Int[Array, "r"]
    new_class: Bool[Array, "r"] | None = None
    longer: Float[Array, "r e h w c"] | None = None
    other: Int[Array, "r"] | None = None
    superposed: Float[Array, "r t h w c"] | None = None
    switched: Float[Array, "r t h w c"] | None = None
    fitting: Rows | None = None


def of_seen_classes(data: HeldOut) -> Bool[Array, "r"]:
    """Which rows the scores are means over: those of classes that training saw."""
    if data.new_class is None:
        return jnp.ones(len(data.k), bool)
    return ~data.new_class


def mean_of(values: Shaped[Array, "r *t"], rows: Bool[Array, "r"]) -> Float[Array, ""]:
    """The mean of the values of some rows; NaN of none.

    Args:
      values: of every row.
      rows: which of them count.
    """
    each = jnp.mean(values.reshape(len(rows), -1).astype(float), 1)
    # A row that is left out may hold anything.
    return jnp.sum(jnp.where(rows, each, 0.0)) / jnp.sum(rows)


def batches(config: Config, spec: Spec, splits: Splits) -> Batches:
    """Batches of training sequences, and held-out sequences with what goes with them.

    Controls of the splits that it uses, where they are there: "longer", "superposed"
    and "switched" with a row for each held-out one (of the last two, `k` has both
    transformations), and "fitting", training sequences that a plain VAE's linear steps
    are fitted to; without it they are drawn.

    Args:
      config: the config of the method.
      spec: what is known of the data.
      splits: their rows.

    Raises:
      ValueError: a batch below 1, or of more than all training rows; rows that lack
        what the spec names, or controls with another number of rows.
    """
    check.batch(config.batch, spec.rows)
    model = build(config, spec)
    sample = rows.train_sampler(splits, config.batch)
    for number, part in enumerate((splits.valid, splits.test)):
        if model.names and part.k is None:
            raise ValueError(
                "data.k must hold the transformation of every sequence, since the data "
                f"name {', '.join(model.names)}; got none"
            )
        for name in ROW_BY_ROW:
            control = splits.controls.get(name)
            if control is not None and len(control[number].x) != len(part.x):
                raise ValueError(
                    f"splits.controls[{name!r}] must have a row for each of the "
                    f"{len(part.x)} held-out ones, got {len(control[number].x)}"
                )
    fitting: tuple[Rows, Rows] | None = None
    if not model.flows:
        drawn = splits.controls.get("fitting")
        fitting = (
            drawn or (rows.sampler(splits.train, FIT_ROWS)(jax.random.key(0)),) * 2
        )
    valid, test = (_held_out(spec, splits, fitting, number) for number in (0, 1))
    return Batches(sample, jax.tree.map(lambda a: a[:VALID_ROWS], valid), test)


def _held_out(
    spec: Spec, splits: Splits, fitting: tuple[Rows, Rows] | None, number: int
) -> HeldOut:
    part = (splits.valid, splits.test)[number]
    controls = {name: both[number] for name, both in splits.controls.items()}
    names = [label.name for label in spec.labels]
    new = None
    if "new_class" in names and part.y is not None:
        new = part.y[:, names.index("new_class")] > 0
    other, moved = None, dict[str, Num[Array, "..."]]()
    if spec.transformations and {"superposed", "switched"} <= controls.keys():
        both = controls["superposed"].k
        assert both is not None
        other = both[:, 1]
        moved = {n: pixels(controls[n].x) for n in ("superposed", "switched")}
    return HeldOut(
        x=pixels(part.x),
        k=_index(part),
        new_class=new,
        longer=pixels(controls["longer"].x) if "longer" in controls else None,
        other=other,
        superposed=moved.get("superposed"),
        switched=moved.get("switched"),
        fitting=None if fitting is None else _fitting(fitting[number]),
    )


def _index(part: Rows) -> Int[Array, "r"]:
    return jnp.zeros(len(part.x), int) if part.k is None else part.k


def _fitting(part: Rows) -> Rows:
    return Rows(pixels(part.x), k=_index(part))


def first_of_each(k: Int[Array, "n"], kinds: int, count: int) -> Int[Array, "m k"]:
    """The first rows of every transformation; those of a file come in any order.

    Args:
      k: the transformation of every row.
      kinds: the number of transformations.
      count: the number of rows of each; where there are fewer, they come over again.
    """
    there = k[None] == jnp.arange(kinds)[:, None]
    rows = jnp.argsort(~there, axis=1, stable=True)
    again = jnp.arange(count)[None] % jnp.maximum(there.sum(1), 1)[:, None]
    return jnp.take_along_axis(rows, again, 1).T

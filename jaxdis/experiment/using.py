"""New rows through a trained model: codes, reconstructions, predictions, scores."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from jaxdis import check, runner, sweep
from jaxdis.data import preparation
from jaxdis.data.values import tidy_field
from jaxdis.experiment.model import Model
from jaxdis.types import Rows, Splits

__all__ = [
    "decode",
    "encode",
    "evaluate",
    "in_slices",
    "observations",
    "predict",
    "taken",
    "traverse",
]

SLICE = 2**22  # numbers that go through the networks of all seeds at a time
WIDTH = 256  # of a row, at least: hidden layers are wider than vectors

UNITS = {"x": preparation.undo_x, "y": preparation.undo_y}
Numbers = Shaped[np.ndarray, "..."]


def observations(model: Model, x: Any) -> Numbers:
    """Observations of a user's as the model saw those of the training.

    Args:
      model: the model.
      x: observations `[n, ...]`: numbers in the units of the training's data; images as
        bytes, or as numbers in [0, 1]; `Rows`; or a frame with columns of the same
        names.

    Raises:
      ValueError: they are not what the model was trained on.
    """
    if isinstance(x, Rows):
        return np.asarray(_seen(model, Rows(x.x, names=x.names)).x)
    names = model.preparation.names.x
    if names and hasattr(x, "columns"):
        if lacking := [name for name in names if name not in x.columns]:
            raise ValueError(f"x lacks the columns {', '.join(lacking)}")
        x = x[list(names)].to_numpy()
    _check_file("x", x)
    x = tidy_field("x", x)
    _check(model, x)
    prepared: Numbers = preparation.apply_x(model.preparation, x)
    return prepared


def _check_file(name: str, given: Any) -> None:
    """Whether a file is given in the place of what it holds."""
    if isinstance(given, str | PathLike):
        raise ValueError(
            f"{name} must hold numbers, got the path {given}; read it first, "
            "jaxdis.read(path, x=...)"
        )


def _check(model: Model, x: Numbers) -> None:
    """Whether observations have the shape and the kind of those of the training."""
    shape = model.spec.shape
    if x.ndim <= len(shape) or x.shape[x.ndim - len(shape) :] != shape or not len(x):
        raise ValueError(_other_shape(x.shape, shape))
    if x.dtype.kind not in "biuf":
        words = "words" if x.dtype.kind == "O" else x.dtype
        raise ValueError(f"x must hold numbers, got {words}")
    if len(shape) != 3 or x.dtype == np.uint8:
        return
    if x.dtype.kind != "f":
        raise ValueError(
            f"x must hold bytes (uint8) or numbers in [0, 1], got {x.dtype}"
        )
    if not (x.min() >= 0 and x.max() <= 1):
        raise ValueError(
            f"x must hold pixels in [0, 1], got {x.min():g} to {x.max():g}; images "
            "from 0 to 255 are given as bytes (uint8)"
        )


def _other_shape(found: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """What is wrong with the shape of observations."""
    words = f"x must have shape [n, {', '.join(map(str, shape))}], got {list(found)}"
    if found == shape:
        return f"{words}; one observation is x[None]"
    if len(shape) == 3 and found[-3:] == (shape[2], *shape[:2]):
        return f"{words}; put the channels last, np.moveaxis(x, -3, -1)"
    return words


def _row(model: Model, seed: int | None, point: int) -> slice:
    """Which rows of the state are meant: all seeds of a point, or one."""
    seeds, points = model.seeds, len(model.points)
    if point not in range(points):
        raise ValueError(f"point must be below {points}, got {point}")
    if seed is None:
        return slice(point * len(seeds), (point + 1) * len(seeds))
    check.one_of("seed", seed, seeds)
    at = point * len(seeds) + seeds.index(seed)
    return slice(at, at + 1)


def taken(model: Model, seed: int | None, point: int) -> Any:
    """The states of all seeds of a grid point, or of one.

    Args:
      model: the model.
      seed: the number of a seed; None for all.
      point: the grid point.
    """
    rows = _row(model, seed, point)
    return jax.tree.map(lambda a: a[rows], model.state)


@lru_cache(maxsize=64)
def _mapped(function: Callable[..., Any], shared: bool) -> Callable[..., Any]:
    """A function of one seed over seeds, whose rows they share or have of their own."""
    return jax.jit(jax.vmap(function, in_axes=(0, None if shared else 0)))


def in_slices(
    function: Callable[..., Any], values: Any, given: Any, *, shared: bool
) -> Numbers:
    """`[s, n, ...]` of all rows, a bounded number of them at a time.

    Args:
      function: `(values of one seed, rows) -> rows`.
      values: what each seed has `[s, ...]`.
      given: rows: `[n, ...]` that seeds share, or `[s, n, ...]`.
      shared: which of both.
    """
    axis = 0 if shared else 1
    arrays = jax.tree.leaves(given)
    count, seeds = arrays[0].shape[axis], len(jax.tree.leaves(values)[0])
    widest = max(math.prod(a.shape[axis + 1 :]) for a in arrays)
    size = min(count, max(1, SLICE // (seeds * max(widest, WIDTH))))
    found = []
    for start in range(0, count, size):
        # The last slice is filled up, so that one program serves all.
        chosen = np.minimum(np.arange(start, start + size), count - 1)
        some = jax.tree.map(lambda a, at=chosen: np.take(a, at, axis), given)
        result = np.asarray(_mapped(function, shared)(values, some))
        found.append(result[:, : count - start])
    return np.concatenate(found, 1)


def encode(
    model: Model, x: Any, *, seed: int | None = None, point: int = 0
) -> Float[np.ndarray, "..."]:
    """Codes of observations.

    Args:
      model: the model.
      x: observations `[n, ...]`; see `observations`.
      seed: the number of a seed; all of them by default.
      point: the grid point.

    Returns:
      `[seed, n, ..., z]`, or `[n, ..., z]` of one seed.

    Raises:
      ValueError: the method has no encoder, or x is not what it was trained on.
    """
    if model.system.encode is None:
        raise ValueError(f"{model.method.name} has no encoder")
    params = taken(model, seed, point).params
    codes = in_slices(model.system.encode, params, observations(model, x), shared=True)
    return codes if seed is None else codes[0]


def _width(model: Model, params: Any) -> int | None:
    """How many codes an observation has; None where there is no encoder."""
    if model.system.encode is None:
        return None
    one = jax.eval_shape(lambda p: jax.tree.map(lambda a: a[0], p), params)
    x = jax.ShapeDtypeStruct((1, *model.spec.shape), jnp.float32)
    return int(jax.eval_shape(model.system.encode, one, x).shape[-1])


def decode(
    model: Model, z: Any, *, seed: int | None = None, point: int = 0
) -> Float[np.ndarray, "..."]:
    """Observations of codes, in the units of the training's data.

    Args:
      model: the model.
      z: codes as `encode` gives them: `[seed, n, ..., z]`, or `[n, ..., z]` of a seed.
      seed: the number of a seed; all of them by default.
      point: the grid point.

    Returns:
      `[seed, n, ...]`, or `[n, ...]` of one seed.

    Raises:
      ValueError: the method has no decoder, or z has another shape.
    """
    if model.system.decode is None:
        raise ValueError(f"{model.method.name} has no decoder")
    params = taken(model, seed, point).params
    z = np.asarray(z, np.float32)
    z = z if seed is None else z[None]
    seeds = len(model.seeds) if seed is None else 1
    if z.ndim < 3 or len(z) != seeds or not z.size:
        wanted = f"[{seeds} seeds, n, z]" if seed is None else "[n, z] of one seed"
        found = z.shape if seed is None else z.shape[1:]
        raise ValueError(f"z must have shape {wanted}, got {list(found)}")
    width = _width(model, params)
    if width is not None and z.shape[-1] != width:
        raise ValueError(f"z must have {width} codes, got shape {list(z.shape)}")
    x = in_slices(model.system.decode, params, z, shared=False)
    x = preparation.undo_x(model.preparation, x)
    return x if seed is None else x[0]


def traverse(
    model: Model,
    x: Any,
    *,
    seed: int,
    point: int = 0,
    latents: Sequence[int] | None = None,
    span: float = 2.0,
    steps: int = 7,
    row: int = 0,
) -> Float[np.ndarray, "latent step ..."]:
    """What changes where one latent moves: decoded codes around that of one row.

    `decode(z_row + d std_j e_j)` for d from -span to span, where std_j is the standard
    deviation of latent j over x.

    Args:
      model: the model.
      x: observations, at least two.
      seed: the number of a seed.
      point: the grid point.
      latents: which latents move; all of them by default.
      span: how far, in standard deviations.
      steps: the number of values of each latent.
      row: the row of x from which they move.

    Raises:
      ValueError: too few rows or steps, or a latent or row that does not exist.
    """
    check.at_least("steps", steps, 2)
    check.positive("span", span)
    codes = encode(model, x, seed=seed, point=point)
    codes = codes.reshape(-1, codes.shape[-1])
    if len(codes) < 2:
        raise ValueError("x must have at least two rows: the span is in their spread")
    if row not in range(len(codes)):
        raise ValueError(f"row must be below {len(codes)}, got {row}")
    size = codes.shape[1]
    chosen = list(range(size)) if latents is None else np.ravel(latents).tolist()
    check.at_least("the number of latents", len(chosen), 1)
    for latent in chosen:
        check.one_of("latents", latent, range(size))
    moves = np.linspace(-span, span, steps)[:, None] * codes.std(0)
    moved = codes[row] + np.eye(size)[chosen][:, None] * moves
    flat = decode(model, moved.reshape(-1, size), seed=seed, point=point)
    return flat.reshape(len(chosen), steps, *flat.shape[1:])


def _seen(model: Model, rows: Rows) -> Rows:
    """Rows of a user's as the method sees them."""
    given: dict[str, Any] = {
        name: tidy_field(name, value)
        for name, value in rows._replace(names=None)._asdict().items()
        if value is not None
    }
    prepared = preparation.apply(model.preparation, rows._replace(**given))
    _check(model, np.asarray(prepared.x))
    return prepared._replace(group=None, split=None, names=None)


def predict(
    model: Model, rows: Any, *, seed: int | None = None, point: int = 0
) -> Float[np.ndarray, "..."]:
    """What the method predicts of rows: the next frames, or labels.

    Args:
      model: the model.
      rows: `Rows`, or observations alone.
      seed: the number of a seed; all of them by default.
      point: the grid point.

    Returns:
      `[seed, n, ...]`, or `[n, ...]` of one seed, in the units of the training's data.

    Raises:
      ValueError: the method predicts nothing, or the rows are not what it was trained
        on.
    """
    if model.system.predict is None:
        raise ValueError(f"{model.method.name} predicts nothing")
    _check_file("rows", rows)
    given = rows if isinstance(rows, Rows) else Rows(x=rows)
    state = taken(model, seed, point)
    found = in_slices(model.system.predict, state, _seen(model, given), shared=True)
    found = UNITS[model.system.predicts](model.preparation, found)
    return found if seed is None else found[0]


def _check_needed(model: Model, rows: Rows) -> None:
    """Whether rows have what the method needs and those of the training had."""
    spec, needs = model.spec, model.method.needs
    wanted = ((spec.steps,) if spec.steps else ()) + spec.shape
    if rows.x.shape[1:] != wanted:
        raise ValueError(
            f"data.x must have shape [n, {', '.join(map(str, wanted))}], got "
            f"{list(rows.x.shape)}"
        )
    words = {word for need in needs for word in np.atleast_1d(need).tolist()}
    # Where either will do, labels do, and true latents are for training.
    words -= set() if "z" in needs else {"z"}
    for name in words & {"a", "u", "y", "k", "z"} & set(spec.offers):
        if getattr(rows, name) is None:
            raise ValueError(
                f"data.{name} must be in rows that {model.method.name} is scored on, "
                "as it was in those of the training"
            )


def evaluate(model: Model, rows: Rows) -> dict[str, Float[np.ndarray, "point seed"]]:
    """The scores of the method's report on other rows.

    Args:
      model: the model.
      rows: the rows, with the fields that the method needs.

    Returns:
      Every declared score of every seed; NaN where there is none.

    Raises:
      ValueError: the rows are not what the model was trained on.
    """
    if not isinstance(rows, Rows):
        raise ValueError(
            f"rows must be Rows, as jaxdis.read returns them; got {type(rows).__name__}"
        )
    method, spec = model.method, model.spec._replace(worlds=None)
    host = _seen(model, rows)
    _check_needed(model, host)
    seen = jax.tree.map(jnp.asarray, host)
    splits = Splits(seen, seen, seen, preparation=model.preparation)
    batch = method.batches(model.config, spec, splits).test
    shape = len(model.points), len(model.seeds)
    keys = sweep.keys_of(model.seeds)
    keys = keys[jnp.tile(jnp.arange(shape[1]), shape[0])]
    found = runner.evaluator(model.system, batch, keys)(model.state)
    declared = method.scores(model.config, model.spec)
    return {
        score.name: found[score.name].astype(float).reshape(shape)
        for score in declared
        if score.name in found
    }

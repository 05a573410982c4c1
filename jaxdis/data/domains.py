"""Domains that change the distribution of latents under one sparse mixing.

`x = g(z)`, each x_k a function of few latents; the domain u is observed, and given u
the latents are independent with a mean and a deviation of their own in every domain.
Three kinds of data:

- "toy": a smooth mixing with a given mask, locally injective where it was tested;
- "dense_shift": only some latents change, mixed by orthogonal matrices and a leaky
  ReLU;
- "table": a file of your own.

A generated set holds several worlds, which differ in everything but their config: one
for each seed, so that a spread over seeds is one over data too.

Source: the problem is that of Li et al. 2025 (arXiv 2503.00639); "dense_shift" follows
code of the same group, constants of the toy are this library's.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from jaxdis import linalg
from jaxdis.data import bind
from jaxdis.data.files import read_npz
from jaxdis.types import PRNGKey

Name = Literal["toy", "dense_shift", "table"]
Mask = Literal["ring", "nested", "dense", "block"]

MEAN_RANGE = 4.0
STD_RANGE = (0.3, 1.5)
SHIFT_STD_RANGE = (0.01, 1.0)  # of dense_shift
DIAGONAL, OFF_DIAGONAL = 2.0, (0.5, 1.0)  # of the toy's linear part
LINEAR, BEND, UNITS = 1 / 1.5, 0.6, 8  # weights of its two parts, tanh units
LEAKY_SLOPE = 0.2
LEAST_DET = 0.05
BOX_POINTS, FIRST_POINTS = 20_000, 1_000
PATIENCE, FADE, LIMIT = 25, 0.9, 500
NO_FILE = "data.file must name an npz with `x` [n, m] and `u` [n], 0 .. domains - 1"


class Domains(NamedTuple):
    """Rows of several worlds.

    Attributes:
      worlds_x: observations, standardised by the training rows of their world.
      u: domains 0 .. D - 1, the same in all worlds; in such an order that every prefix
        of at least D rows has all of them.
      worlds_z: true latents; None if they are not known.
    """

    worlds_x: Float[Array, "r w m"]
    u: Int[Array, "r"]
    worlds_z: Float[Array, "r w n"] | None

    @property
    def x(self) -> Float[Array, "r m"] | None:
        """Observations, if all seeds see the same; else None."""
        return self.worlds_x[:, 0] if self.worlds_x.shape[1] == 1 else None


class Batch(NamedTuple):
    """Rows for all worlds.

    Attributes:
      rows: uniform draws of rows, with replacement.
      data: all of the training split, from which a seed takes its own world's rows.
    """

    rows: Int[Array, "b"]
    data: Domains


class Spec(NamedTuple):
    """What a system must know about its data before it sees any.

    Attributes:
      x_dim: m; 0 if it is in a file that was not named.
      domains: D; 0 likewise.
      z_dim: n; 0 if it is not known.
      mask: `[m, n]`, 1 where a latent moves an observed variable; None if not known.
      worlds: W.
    """

    x_dim: int
    domains: int
    z_dim: int
    mask: Int[np.ndarray, "m n"] | None
    worlds: int


class Dataset(NamedTuple):
    """Splits of the same worlds, with rows of their own."""

    train: Domains
    valid: Domains
    test: Domains


@dataclass(frozen=True)
class Config:
    """A set of domains; the defaults are the toy's.

    Attributes:
      name: "toy", "dense_shift" or "table" (needs `file`).
      mask: of the toy: "ring" (x_k sees z_k and z_{k+1}, in a circle), "nested" (z_1 to
        z_k), "dense" (all) or "block" (those of its block).
      z_dim: latents n, at least 2; not of tables.
      tall: the toy has 2n observed variables, and k and n + k see the same latents.
      block: latents in a block, a divisor of z_dim.
      domains: D, at least 2; a table has its own.
      samples: training rows of each domain.
      valid_samples, test_samples: likewise.
      worlds: independent draws of everything; a table is one.
      changing: latents of dense_shift that change with the domain, the last ones.
      file: npz of a table: `x [n, m]`, `u [n]` and, where you know them, `z [n, k]` and
        `mask [m, k]`.
      held_out: share of every domain's rows of a table, for valid and again for test.
      seed: of all draws; for tables, of the splits.
    """

    name: Name = "toy"
    mask: Mask = "ring"
    z_dim: int = 4
    tall: bool = False
    block: int = 2
    domains: int = 9
    samples: int = 3_000
    valid_samples: int = 100
    test_samples: int = 300
    worlds: int = 8
    changing: int = 2
    file: str | None = None
    held_out: float = 0.1
    seed: int = 200


def _check_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, 1, 0.0)[0]
        raise ValueError(
            f"data.{field}: there is no {value!r}; the nearest name is {near!r} (of "
            f"{', '.join(choices)})"
        )


def _check(config: Config) -> None:
    _check_choice("name", config.name, get_args(Name))
    if config.name == "table":
        if not 0 < config.held_out < 0.5:
            raise ValueError(
                "data.held_out is for valid and again for test and must lie between 0 "
                f"and .5, got {config.held_out}"
            )
        return
    if config.domains < 2:
        raise ValueError(
            f"data.domains must be at least 2, or nothing changes; got {config.domains}"
        )
    for name in ("samples", "valid_samples", "test_samples", "worlds"):
        if getattr(config, name) < 1:
            raise ValueError(
                f"data.{name} must be at least 1, got {getattr(config, name)}"
            )
    if config.name == "dense_shift" and config.tall:
        raise ValueError(
            "data.tall is for data.name='toy'; dense_shift has as many observed "
            "variables as latents"
        )
    if config.name == "dense_shift" and not 1 <= config.changing <= config.z_dim:
        raise ValueError(
            f"data.changing must lie in 1 .. data.z_dim = {config.z_dim}, got "
            f"{config.changing}"
        )


def mask_matrix(
    name: str, z_dim: int, tall: bool = False, block: int = 2
) -> Int[np.ndarray, "m n"]:
    """Which latents move which observed variables: `[m, n]` of 0 and 1.

    ring: k sees {k, k+1 mod n}; nested: {1 .. k}; dense: all; block: those of k's block
    of `block` latents. Tall masks repeat the rows: m = 2n.

    Raises:
      ValueError: unknown mask, fewer than 2 latents, a block that does not divide them.
    """
    _check_choice("mask", name, get_args(Mask))
    if z_dim < 2:
        raise ValueError(f"data.z_dim must be at least 2, got {z_dim}")
    if name == "block" and (block < 1 or z_dim % block):
        raise ValueError(
            f"data.block must divide data.z_dim = {z_dim} into equal blocks, got "
            f"{block}"
        )
    k, j = np.arange(z_dim)[:, None], np.arange(z_dim)[None]
    seen = {
        "ring": (j == k) | (j == (k + 1) % z_dim),
        "nested": j <= k,
        "dense": np.ones((z_dim, z_dim), bool),
        "block": j // max(block, 1) == k // max(block, 1),
    }[name]
    return np.tile(seen, (2 if tall else 1, 1)).astype(np.int32)


def _mask(config: Config) -> Int[np.ndarray, "m n"]:
    name = "dense" if config.name == "dense_shift" else config.mask
    return mask_matrix(name, config.z_dim, config.tall, config.block)


def make_spec(config: Config) -> Spec:
    """Sizes and mask of a set, without drawing it; a table is read for them.

    Raises:
      ValueError: names that do not exist, sizes below their least, a file that is not
        what it should be.
    """
    _check(config)
    if config.name != "table":
        mask = _mask(config)
        m, n = mask.shape
        return Spec(m, config.domains, n, mask, config.worlds)
    if config.file is None:
        return Spec(0, 0, 0, None, 1)
    table = read_table(Path(config.file))
    known = (a.shape[1] for a in (table.z, table.mask) if a is not None)
    domains = int(table.u.max()) + 1
    return Spec(table.x.shape[1], domains, next(known, 0), table.mask, 1)


# Generated sets.


class TanhMixing(NamedTuple):
    """The toy's: `g_k(z) = A_k z / 1.5 + .6 sum_h r_kh tanh(V_kh z / 2 + b_kh)`."""

    a: Float[Array, "m n"]
    v: Float[Array, "m h n"]
    b: Float[Array, "m h"]
    r: Float[Array, "m h"]


class LeakyMixing(NamedTuple):
    """That of dense_shift: `g(z) = W_2 lrelu(W_1 z)`, both orthogonal, slope .2."""

    first: Float[Array, "n n"]
    second: Float[Array, "n n"]


class World(NamedTuple):
    """What generates one world; stacked worlds have a leading axis.

    Attributes:
      mixing: g.
      centre, scale: mean and standard deviation of g(z) over the training rows.
      means, stds: of the latents in each domain.
      attempts: draws that it took, see `draw`.
      weakening: factor of the parts of g that were weakened; 1 if none was.
    """

    mixing: TanhMixing | LeakyMixing
    centre: Float[Array, "m"]
    scale: Float[Array, "m"]
    means: Float[Array, "d n"]
    stds: Float[Array, "d n"]
    attempts: Int[Array, ""]
    weakening: Float[Array, ""]


_dot = partial(jnp.matmul, precision="highest")


def mix(world: World, z: Float[Array, "*r n"]) -> Float[Array, "*r m"]:
    """`x = (g(z) - centre) / scale`, of one world; noise-free."""
    return jnp.vectorize(partial(_mix, world), signature="(n)->(m)")(z)


def _mix(world: World, z: Float[Array, "n"]) -> Float[Array, "m"]:
    g = world.mixing
    if isinstance(g, TanhMixing):
        bends = jnp.sum(g.r * jnp.tanh(0.5 * _dot(g.v, z) + g.b), 1)
        x = LINEAR * _dot(g.a, z) + BEND * bends
    else:
        x = _dot(g.second, jax.nn.leaky_relu(_dot(g.first, z), LEAKY_SLOPE))
    return (x - world.centre) / world.scale


def _uniform(
    key: PRNGKey, shape: tuple[int, ...], ends: tuple[float, float]
) -> Float[Array, "..."]:
    return jax.random.uniform(key, shape, minval=ends[0], maxval=ends[1])


def _draw_tanh(
    key: PRNGKey, mask: Int[np.ndarray, "m n"], weakening: Float[Array, ""]
) -> TanhMixing:
    sign_key, size_key, v_key, b_key, r_key = jax.random.split(key, 5)
    m, n = mask.shape
    sign = jax.random.rademacher(sign_key, (m, n), float)
    others = weakening * mask * sign * _uniform(size_key, (m, n), OFF_DIAGONAL)
    diagonal = np.arange(m)[:, None] % n == np.arange(n)[None]
    return TanhMixing(
        a=jnp.where(diagonal, DIAGONAL, others),
        v=jax.random.normal(v_key, (m, UNITS, n)) * mask[:, None],
        b=2 * jax.random.normal(b_key, (m, UNITS)),
        r=weakening * jax.random.normal(r_key, (m, UNITS)),
    )


def _orthogonal(key: PRNGKey, n: int) -> Float[Array, "n n"]:
    """Uniform on the orthogonal matrices: normal rows by Gram-Schmidt."""

    def row(i: Array, q: Float[Array, "n n"]) -> Float[Array, "n n"]:
        before = jnp.where(jnp.arange(n)[:, None] < i, q, 0.0)
        own = q[i]
        for _ in range(2):  # the second removes the rounding of the first
            own = own - _dot(before.T, _dot(before, own))
        return q.at[i].set(own / jnp.sqrt(jnp.sum(own**2)))

    return jax.lax.fori_loop(0, n, row, jax.random.normal(key, (n, n)))


def _draw_world(key: PRNGKey, config: Config, attempt: Int[Array, ""]) -> World:
    mean_key, std_key, *mixing_keys = jax.random.split(key, 4)
    mask, shape = _mask(config), (config.domains, config.z_dim)
    weakening = jnp.power(FADE, (attempt // PATIENCE).astype(float))
    means = _uniform(mean_key, shape, (-MEAN_RANGE, MEAN_RANGE))
    mixing: TanhMixing | LeakyMixing
    if config.name == "toy":
        stds = _uniform(std_key, shape, STD_RANGE)
        mixing = _draw_tanh(mixing_keys[0], mask, weakening)
    else:
        changes = np.arange(config.z_dim)[None] >= config.z_dim - config.changing
        means = jnp.where(changes, means, 0.0)
        stds = jnp.where(changes, _uniform(std_key, shape, SHIFT_STD_RANGE), 1.0)
        mixing = LeakyMixing(*(_orthogonal(k, config.z_dim) for k in mixing_keys))
    m = len(mask)
    return World(mixing, jnp.zeros(m), jnp.ones(m), means, stds, attempt + 1, weakening)


def _domain(rows: int, domains: int) -> Int[Array, "r"]:
    return jnp.arange(rows, dtype=jnp.int32) % domains


def _draw_latents(key: PRNGKey, world: World, samples: int) -> Float[Array, "r n"]:
    """`z = m_u + s_u e`, `samples` rows of each domain."""
    domains, n = world.means.shape
    u = _domain(samples * domains, domains)
    noise = jax.random.normal(key, (samples * domains, n))
    return world.means[u] + world.stds[u] * noise


def _injective(key: PRNGKey, world: World, z: Float[Array, "r n"]) -> Bool[Array, ""]:
    """Whether all determinants exceed .05 at z and at uniform points of its box.

    Of `dg/dz`; of either half of its rows, where it is tall.
    """
    n = z.shape[1]
    jacobian = jax.vmap(jax.jacfwd(partial(_mix, world)))

    def holds(z: Float[Array, "r n"]) -> Bool[Array, ""]:
        return jnp.all(jax.vmap(linalg.det)(jacobian(z).reshape(-1, n, n)) > LEAST_DET)

    low, high = z.min(0, keepdims=True), z.max(0, keepdims=True)
    box = low + (high - low) * jax.random.uniform(key, (BOX_POINTS, n))
    first, others = box[:FIRST_POINTS], box[FIRST_POINTS:]
    # Most draws that fail do so within few points.
    rest = partial(holds, jnp.concatenate([others, z]))
    return jax.lax.cond(holds(first), rest, lambda: jnp.zeros((), bool))


@partial(jax.jit, static_argnums=1)
def _draw(key: PRNGKey, config: Config) -> tuple[World, Dataset]:
    sizes = config.samples, config.valid_samples, config.test_samples

    def one(number: Int[Array, ""]) -> tuple[World, list[Array], list[Array]]:
        world_key = jax.random.fold_in(key, number)

        def draw(
            attempt: Int[Array, ""],
        ) -> tuple[World, Float[Array, "r n"], list[PRNGKey]]:
            mixing_key, train_key, *keys = jax.random.split(
                jax.random.fold_in(world_key, attempt), 5
            )
            world = _draw_world(mixing_key, config, attempt)
            return world, _draw_latents(train_key, world, sizes[0]), keys

        def fails(attempt: Int[Array, ""]) -> Bool[Array, ""]:
            world, z, keys = draw(attempt)
            return ~_injective(keys[0], world, z)

        attempt = jnp.zeros((), jnp.int32)
        if config.name == "toy":
            attempt = jax.lax.while_loop(
                lambda i: (i < LIMIT) & fails(i), lambda i: i + 1, attempt
            )
        world, z, (_, *keys) = draw(attempt)
        held_out = zip(keys, sizes[1:], strict=True)
        latents = [z, *(_draw_latents(k, world, size) for k, size in held_out)]
        x = mix(world, z)
        world = world._replace(centre=x.mean(0), scale=x.std(0))
        return world, [mix(world, z) for z in latents], latents

    # One after another: each ends with its own last attempt.
    world, xs, zs = jax.lax.map(one, jnp.arange(config.worlds))
    splits = [
        Domains(x.swapaxes(0, 1), _domain(x.shape[1], config.domains), z.swapaxes(0, 1))
        for x, z in zip(xs, zs, strict=True)
    ]
    return world, Dataset(*splits)


def draw(config: Config) -> tuple[World, Dataset]:
    """Draws the worlds of a generated set on the default device.

    In domain u, `z_i = m_ui + s_ui e_i`, e standard normal.

    - toy: m ~ U(-4, 4), s ~ U(.3, 1.5); `g_k(z) = A_k z / 1.5 + .6 sum_h r_kh
      tanh(V_kh z / 2 + b_kh)` with 8 units h; A_kk = 2, A_kj = +-U(.5, 1) and V_khj ~
      N(0, 1) where the mask is 1 and else 0, b ~ 2 N(0, 1), r ~ N(0, 1).
    - dense_shift: the same m, s ~ U(.01, 1), for the last `changing` latents; m = 0 and
      s = 1 for the others. `g(z) = W_2 lrelu(W_1 z)`, W uniform orthogonal, slope .2.

    World w is the same however many worlds there are. x is standardised by the training
    rows of its world; rows of valid and test are fresh draws of the same process.

    A world of the toy is drawn anew, all of it, until `det dg/dz > .05` at all training
    rows and at 20,000 uniform points of their bounding box; where there are 2n observed
    variables, so must be the determinants of the first and of the last n of them. After
    every 25 draws that fail, r and A_kj (j != k) of those that follow are weakened by
    10 % more.

    Returns:
      The worlds, stacked, with the draws that each took and its weakening; the data.

    Raises:
      ValueError: as `make_spec`; a table; no world passes within 500 draws.

    Note:
      The test certifies that g is locally injective where it was tested and proves
      nothing beyond: held-out rows may lie outside of the box. Without it, the
      determinant changes its sign on a part of most dense worlds.
    """
    if config.name == "table":
        raise ValueError(
            "data.name='table' is read by `load`; there is nothing to draw"
        )
    make_spec(config)
    world, data = _draw(jax.random.key(config.seed), replace(config, seed=0))
    failed = np.flatnonzero(np.asarray(world.attempts) > LIMIT)
    if failed.size:
        raise ValueError(
            f"no injective mixing was found in {LIMIT} draws for worlds "
            f"{failed.tolist()} of data.mask={config.mask!r}, data.z_dim="
            f"{config.z_dim}, data.tall={config.tall}, data.domains={config.domains}, "
            f"data.seed={config.seed}; take fewer latents or a sparser mask"
        )
    return world, data


# Tables.


class Table(NamedTuple):
    """A file of one's own, as it is.

    Attributes:
      x: observations.
      u: domains 0 .. D - 1.
      z: true latents; None if they are not known.
      mask: 1 where a latent moves an observed variable; None if not known.
    """

    x: Float[np.ndarray, "r m"]
    u: Int[np.ndarray, "r"]
    z: Float[np.ndarray, "r n"] | None
    mask: Int[np.ndarray, "m n"] | None


def _read_labels(u: np.ndarray, path: Path) -> Int[np.ndarray, "r"]:
    numbers = u.dtype.kind in "biu" or (
        u.dtype.kind == "f" and bool(np.isfinite(u).all() and (u == np.rint(u)).all())
    )
    if not numbers or (u < 0).any():
        raise ValueError(
            f"data.file must hold domains u that are whole numbers from 0: {path}; "
            "`np.unique(names, return_inverse=True)[1]` makes them of names"
        )
    there = np.unique(u)
    if len(there) < 2:
        raise ValueError(
            f"data.file must hold at least 2 domains; {path} has {there.tolist()}"
        )
    if there[-1] != len(there) - 1:
        raise ValueError(
            f"data.file must hold domains u without gaps, 0 .. {len(there) - 1} for "
            f"the {len(there)} of them; {path} has {_few(there)}"
        )
    return u.astype(np.int32)


def _few(values: np.ndarray) -> str:
    shown = ", ".join(map(str, values[:10].tolist()))
    return f"{shown}, ... {values[-1]}" if len(values) > 10 else shown


def read_table(path: Path) -> Table:
    """Reads `x [r, m]`, `u [r]` and, if they are there, `z [r, n]` and `mask [m, n]`.

    Raises:
      ValueError: no such file or array, shapes that do not fit, NaN, domains that are
        not 0 .. D - 1 with D at least 2, a mask of other numbers than 0 and 1.
    """
    found = read_npz(path, ("x", "u"))
    x, u, z, mask = (found.get(name) for name in ("x", "u", "z", "mask"))
    assert x is not None
    assert u is not None
    r = len(x) if x.ndim == 2 and x.shape[1] else 0
    if not r or u.shape != (r,):
        raise ValueError(
            f"data.file must hold x [n, m] and u [n]; {path} has {x.shape} and "
            f"{u.shape}"
        )
    if z is not None and (z.ndim != 2 or len(z) != r or not z.shape[1]):
        raise ValueError(
            f"data.file must hold z [n, k] with the n = {r} rows of x; {path} has "
            f"{z.shape}"
        )
    for name, values in (("x", x), ("z", z)):
        if values is None:
            continue
        if values.dtype.kind not in "biuf":
            raise ValueError(f"data.file must hold {name} that are numbers: {path}")
        if not np.isfinite(values).all():
            raise ValueError(f"data.file holds NaN or infinite {name}: {path}")
    if mask is not None:
        n = z.shape[1] if z is not None else mask.shape[-1] if mask.ndim else 0
        if mask.shape != (x.shape[1], n) or not n:
            raise ValueError(
                "data.file must hold a mask [m, k] of the m columns of x and the k of "
                f"z; {path} has {mask.shape}, x {x.shape}"
                + ("" if z is None else f", z {z.shape}")
            )
        if mask.dtype.kind not in "biuf" or not np.isin(mask, (0, 1)).all():
            raise ValueError(f"data.file must hold a mask of 0 and 1: {path}")
        mask = mask.astype(np.int32)
    return Table(x, _read_labels(u, path), z, mask)


def _spread_rows(
    groups: list[Int[np.ndarray, "g"]],
) -> Int[np.ndarray, "r"]:
    """The first row of each domain, then all others evenly."""
    place = [np.r_[-1.0, (np.arange(1, len(g)) + 0.5) / len(g)] for g in groups]
    return np.concatenate(groups)[np.argsort(np.concatenate(place), kind="stable")]


def _split_rows(config: Config, u: Int[np.ndarray, "r"]) -> list[np.ndarray]:
    """Rows of training, validation and test, the same share of every domain."""
    rng = np.random.default_rng(config.seed)
    groups: tuple[list[np.ndarray], ...] = ([], [], [])
    for domain in range(u.max() + 1):
        rows = rng.permutation(np.flatnonzero(u == domain))
        kept = max(1, round(config.held_out * len(rows)))
        if len(rows) <= 2 * kept:
            raise ValueError(
                f"domain {domain} of data.file has {len(rows)} rows and would be "
                "missing from a split; every domain needs at least 3, or leave it out"
            )
        cut = np.split(rows, [kept, 2 * kept])
        for group, some in zip(groups, (cut[2], cut[0], cut[1]), strict=True):
            group.append(some)
    return [_spread_rows(group) for group in groups]


def _load_table(config: Config) -> Dataset:
    if config.file is None:
        raise ValueError(NO_FILE)
    table = read_table(Path(config.file))
    splits = _split_rows(config, table.u)
    x = table.x.astype(np.float64)
    mean, std = x[splits[0]].mean(0), x[splits[0]].std(0)
    constant = np.flatnonzero(std <= 1e-7 * np.abs(mean))
    if constant.size:
        raise ValueError(
            f"column {_few(constant)} of x in data.file is constant over the training "
            "rows and cannot be standardised; leave it out"
        )
    x = (x - mean) / std

    def split(rows: np.ndarray) -> Domains:
        z = None if table.z is None else jnp.asarray(table.z[rows, None], float)
        return Domains(jnp.asarray(x[rows, None], float), jnp.asarray(table.u[rows]), z)

    return Dataset(*map(split, splits))


def load(config: Config) -> tuple[Spec, Dataset]:
    """Draws or reads a set of domains.

    Rows of a table are split domain by domain, and x is standardised by the training
    rows; true latents stay as they are.

    Raises:
      ValueError: as `make_spec` and `draw`; no file; a domain of a table too small to
        be in each split; a constant column of x.
    """
    spec = make_spec(config)
    if config.name == "table":
        return spec, _load_table(config)
    return spec, draw(config)[1]


def sampler(train: Domains, batch: int) -> Callable[[PRNGKey], Batch]:
    """`key -> Batch` of uniformly drawn rows; the data stay arguments of the program.

    Args:
      train: the training split.
      batch: rows in a batch.

    Raises:
      ValueError: NaN or infinite data, arrays of the wrong rank or with different
        numbers of rows, domains that are not 0 .. D - 1, batch below 1.
    """
    check_domains(train)
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    return Partial(bind(_draw_batch, batch), train)


def _draw_batch(batch: int, train: Domains, key: PRNGKey) -> Batch:
    return Batch(jax.random.randint(key, (batch,), 0, train.u.shape[0]), train)


def check_domains(data: Domains) -> None:
    """Raises ValueError unless arrays are finite, fit, and u has all of 0 .. D - 1."""
    x, u, z = data
    r = x.shape[0] if x.ndim == 3 else 0
    if not x.size or not r:
        raise ValueError(
            f"data.worlds_x must have shape [r, w, m], none of them 0; got {x.shape}"
        )
    if u.shape != (r,):
        raise ValueError(
            f"data.u must have shape [r] with the r = {r} rows of data.worlds_x; got "
            f"{u.shape}"
        )
    if z is not None and (z.ndim != 3 or z.shape[:2] != x.shape[:2] or not z.size):
        raise ValueError(
            f"data.worlds_z must have shape [r, w, n] with the r, w = {x.shape[:2]} of "
            f"data.worlds_x; got {z.shape}"
        )
    for name, values in (("worlds_x", x), ("worlds_z", z)):
        if values is not None and not bool(jnp.isfinite(values).all()):
            raise ValueError(
                f"data.{name} holds NaN or infinite values; remove those rows first"
            )
    if not jnp.issubdtype(u.dtype, jnp.integer):
        raise ValueError(f"data.u must be integers, got {u.dtype}")
    there = np.unique(u)
    if there[0] != 0 or there[-1] != len(there) - 1:
        raise ValueError(
            "data.u must hold each of the domains 0 .. D - 1 and no others, got "
            f"{_few(there)}"
        )

"""The toy of sparse mixing: a smooth mixing with a given mask."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxdis import check, linalg
from jaxdis.data import draws
from jaxdis.data.domains import worlds
from jaxdis.data.domains.worlds import Process, World
from jaxdis.types import PRNGKey, Spec, Splits, Truth

__all__ = [
    "MASKS",
    "Mask",
    "TanhMixing",
    "ToyMixing",
    "draw",
    "mask_matrix",
    "mix",
    "twist",
]

Mask: TypeAlias = Literal["ring", "nested", "dense", "block"]

STD_RANGE = (0.3, 1.5)
DIAGONAL, OFF_DIAGONAL = 2.0, (0.5, 1.0)  # of the linear part
LINEAR, BEND, UNITS = 1 / 1.5, 0.6, 8  # weights of the two parts, tanh units
LEAST_DET = 0.05
BOX_POINTS, FIRST_POINTS = 20_000, 1_000
PATIENCE, FADE = 25, 0.9
_DEPENDENT = "latents are correlated within a domain"

# Which observed variable k sees which latent j, of n latents and blocks of b.
MASKS: dict[str, Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]] = {
    "ring": lambda k, j, n, b: (j == k) | (j == (k + 1) % n),
    "nested": lambda k, j, n, b: j <= k,
    "dense": lambda k, j, n, b: (j >= 0) & (k >= 0),
    "block": lambda k, j, n, b: j // b == k // b,
}


@dataclass(frozen=True)
class ToyMixing:
    """A toy: latents that change with the domain, mixed smoothly and sparsely.

    Attributes:
      mask: which latents an observed variable x_k sees: "ring" (z_k and z_{k+1}, in a
        circle), "nested" (z_1 to z_k), "dense" (all) or "block" (those of its block).
      z_dim: the number of latents n, at least 2.
      tall: whether there are 2n observed variables, of which k and n + k see the same
        latents.
      block: the number of latents in a block, a divisor of z_dim.
      strength: how strong the mixing is, at least 0: the angle by which observed
        variables k and n + k are turned, for each standard deviation that they are away
        from their means; see `twist`. Above 0 only where the toy is tall.
      domains: the number of domains, at least 2.
      correlation: that of any two latents in a domain; above 0 they are not independent
        there, as theory assumes.
      samples: the number of training rows of each domain.
      valid_samples: the number of validation rows of each domain.
      test_samples: the number of test rows of each domain.
      worlds: the number of independent draws of everything, of which seed s sees number
        s mod worlds; 0 for one of its own for every seed, 1 for one that all see.
      seed: the seed of all draws.
    """

    mask: Mask = "ring"
    z_dim: int = 4
    tall: bool = False
    block: int = 2
    strength: float = 0.0
    domains: int = 9
    correlation: float = 0.0
    samples: int = 3_000
    valid_samples: int = 100
    test_samples: int = 300
    worlds: int = 0
    seed: int = 200

    def spec(self) -> Spec:
        """Sizes and mask, without drawing the rows.

        Raises:
          ValueError: an unknown mask, sizes below their least, a block that does not
            divide the latents, a strength of a toy that is not tall, a correlation
            that is not in [0, 1).
        """
        worlds.check_sizes(self)
        if not 0 <= self.correlation < 1:
            raise ValueError(
                f"data.correlation must lie in [0, 1), got {self.correlation}"
            )
        mask = mask_matrix(self.mask, self.z_dim, self.tall, self.block)
        check.at_least("data.strength", self.strength, 0)
        check.finite("data.strength", [self.strength])
        if self.strength and not self.tall:
            raise ValueError(
                "data.strength turns pairs of observed variables with equal latents, "
                f"which only a tall toy has: set data.tall; got {self.strength}"
            )
        return Spec(
            shape=(len(mask),),
            domains=worlds.domain_names(self.domains),
            z_dim=self.z_dim,
            truth=Truth(mask=mask),
            worlds=draws.count(self.worlds),
            breaks=_DEPENDENT * (self.correlation > 0),
        )

    def load(self) -> Splits:
        """Draws the rows of all worlds, of 8 where every seed has its own; see `draw`.

        Arrays have an axis of worlds in front, unless all seeds see the same one.
        """
        return worlds.as_rows(self, draw(self)[1])

    def load_worlds(self, numbers: tuple[int, ...]) -> Splits:
        """Draws the rows of the worlds with those numbers; see `draw`."""
        return draw(self, numbers)[1]


def mask_matrix(
    name: str, z_dim: int, tall: bool = False, block: int = 2
) -> Int[np.ndarray, "x z"]:
    """Which latents move which observed variables: `[m, n]` of 0 and 1.

    Args:
      name: ring: k sees {k, k+1 mod n}; nested: {1 .. k}; dense: all; block: those of
        k's block.
      z_dim: the number of latents n.
      tall: whether the rows are repeated, m = 2n.
      block: the number of latents in a block.

    Raises:
      ValueError: unknown mask, fewer than 2 latents, a block that does not divide them.
    """
    check.one_of("data.mask", name, MASKS)
    check.at_least("data.z_dim", z_dim, 2)
    if name == "block" and (block < 1 or z_dim % block):
        raise ValueError(
            f"data.block must divide data.z_dim = {z_dim} into equal blocks, got "
            f"{block}"
        )
    k, j = np.arange(z_dim)[:, None], np.arange(z_dim)[None]
    seen = MASKS[name](k, j, z_dim, block)
    return np.tile(seen, (2 if tall else 1, 1)).astype(np.int32)


class TanhMixing(NamedTuple):
    """The mixing `g_k(z) = A_k z / 1.5 + .6 sum_h r_kh tanh(V_kh z / 2 + b_kh)`.

    Attributes:
      a: the linear part A.
      v: the weights V of the tanh units h of each observed variable.
      b: the biases of the units.
      r: the weights of their outputs.
    """

    a: Float[Array, "*w x z"]
    v: Float[Array, "*w x h z"]
    b: Float[Array, "*w x h"]
    r: Float[Array, "*w x h"]


_dot = partial(jnp.matmul, precision="highest")


def _g(mixing: TanhMixing, z: Float[Array, "z"]) -> Float[Array, "x"]:
    a, v, b, r = mixing
    bends = jnp.sum(r * jnp.tanh(0.5 * _dot(v, z) + b), 1)
    return LINEAR * _dot(a, z) + BEND * bends


def mix(world: World, z: Float[Array, "*r z"]) -> Float[Array, "*r x"]:
    """`x = (g(z) - centre) / scale` of one world, without noise and `twist`."""
    return worlds.mix(_g, world, z)


def twist(x: Float[Array, "*r x"], strength: float) -> Float[Array, "*r x"]:
    """Turns the pairs (x_k, x_{n+k}) by an angle that grows with their length.

    `(x_k, x_{n+k}) <- R(strength |(x_k, x_{n+k})|) (x_k, x_{n+k})`, R(t) the rotation
    by t: a bijection of the plane that keeps lengths and areas, so that what is
    injective stays so and no variable sees other latents. What was a line becomes a
    spiral, whose coordinates rise and fall.

    Args:
      x: observations of a tall toy.
      strength: the angle, in radians, at length 1.
    """
    first, second = jnp.split(x, 2, -1)
    angle = strength * jnp.sqrt(first**2 + second**2)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    turned = cos * first - sin * second, sin * first + cos * second
    return jnp.concatenate(turned, -1)


def _draw_tanh(
    key: PRNGKey, mask: Int[np.ndarray, "x z"], weakening: Float[Array, ""]
) -> TanhMixing:
    sign_key, size_key, v_key, b_key, r_key = jax.random.split(key, 5)
    m, n = mask.shape
    sign = jax.random.rademacher(sign_key, (m, n), float)
    sizes = worlds.draw_uniform(size_key, (m, n), OFF_DIAGONAL)
    others = weakening * mask * sign * sizes
    diagonal = np.arange(m)[:, None] % n == np.arange(n)[None]
    return TanhMixing(
        a=jnp.where(diagonal, DIAGONAL, others),
        v=jax.random.normal(v_key, (m, UNITS, n)) * mask[:, None],
        b=2 * jax.random.normal(b_key, (m, UNITS)),
        r=weakening * jax.random.normal(r_key, (m, UNITS)),
    )


def _draw_world(
    data: ToyMixing, mask: Int[np.ndarray, "x z"], key: PRNGKey, attempt: Array
) -> World:
    mean_key, std_key, mixing_key, _ = jax.random.split(key, 4)
    shape = (data.domains, data.z_dim)
    weakening = jnp.power(FADE, (attempt // PATIENCE).astype(float))
    return World(
        mixing=_draw_tanh(mixing_key, mask, weakening),
        centre=jnp.zeros(len(mask)),
        scale=jnp.ones(len(mask)),
        means=worlds.draw_uniform(mean_key, shape, worlds.MEAN_RANGE),
        stds=worlds.draw_uniform(std_key, shape, STD_RANGE),
        attempts=attempt + 1,
        weakening=weakening,
    )


def _injective(key: PRNGKey, world: World, z: Float[Array, "r z"]) -> Bool[Array, ""]:
    """Whether all determinants exceed .05 at z and at uniform points of its box.

    Of `dg/dz`; of either half of its rows, where it is tall.
    """
    n = z.shape[1]
    jacobian = jax.vmap(jax.jacfwd(partial(mix, world)))

    def holds(z: Float[Array, "r z"]) -> Bool[Array, ""]:
        return jnp.all(jax.vmap(linalg.det)(jacobian(z).reshape(-1, n, n)) > LEAST_DET)

    low, high = z.min(0, keepdims=True), z.max(0, keepdims=True)
    box = low + (high - low) * jax.random.uniform(key, (BOX_POINTS, n))
    first, others = box[:FIRST_POINTS], box[FIRST_POINTS:]
    # Most draws that fail do so within few points.
    rest = partial(holds, jnp.concatenate([others, z]))
    return jax.lax.cond(holds(first), rest, lambda: jnp.zeros((), bool))


@partial(jax.jit, static_argnums=1)
def _draw(
    key: PRNGKey, data: ToyMixing, numbers: Int[Array, "w"]
) -> tuple[World, Splits]:
    mask = mask_matrix(data.mask, data.z_dim, data.tall, data.block)
    bend = partial(twist, strength=data.strength) if data.strength else None
    process = Process(
        partial(_draw_world, data, mask), _g, _injective, bend, data.correlation
    )
    return worlds.draw_worlds(process, key, data, numbers)


def draw(
    data: ToyMixing, numbers: tuple[int, ...] | None = None
) -> tuple[World, Splits]:
    """Draws the worlds of a toy, and their rows, on the default device.

    In domain u, `z_i = m_ui + s_ui e_i`, e standard normal, m ~ U(-4, 4), s ~ U(.3,
    1.5); `g_k(z) = A_k z / 1.5 + .6 sum_h r_kh tanh(V_kh z / 2 + b_kh)` with 8 units h;
    A_kk = 2, A_kj = +-U(.5, 1) and V_khj ~ N(0, 1) where the mask is 1 and else 0, b ~
    2 N(0, 1), r ~ N(0, 1).

    A world is drawn anew, all of it, until `det dg/dz > .05` at all training rows and
    at 20,000 uniform points of their bounding box; where there are 2n observed
    variables, so must be the determinants of the first and of the last n of them. After
    every 25 draws that fail, r and A_kj (j != k) of those that follow are weakened by
    10 % more. In the end x is standardised, and turned by `twist` where
    there is a strength; latents are the same at all strengths.

    Args:
      data: the settings.
      numbers: the numbers of the worlds; None for those that `ToyMixing.load` draws.

    Returns:
      The worlds, stacked, with the draws that each took and its weakening; the rows.

    Raises:
      ValueError: as `ToyMixing.spec`; no world passes within 500 draws.

    Note:
      The test certifies that g is locally injective where it was tested and proves
      nothing beyond: held-out rows may lie outside of the box. Without it, the
      determinant changes its sign on a part of most dense worlds.
    """
    data.spec()
    numbers = draws.numbers(data.worlds) if numbers is None else numbers
    alike = replace(data, seed=0, worlds=0)
    world, splits = _draw(jax.random.key(data.seed), alike, jnp.asarray(numbers))
    failed = np.array(numbers)[np.asarray(world.attempts) > worlds.LIMIT]
    if failed.size:
        raise ValueError(
            f"no injective mixing was found in {worlds.LIMIT} draws for worlds "
            f"{failed.tolist()} of data.mask={data.mask!r}, data.z_dim={data.z_dim}, "
            f"data.tall={data.tall}, data.domains={data.domains}, data.seed="
            f"{data.seed}; take fewer latents or a sparser mask"
        )
    return world, splits

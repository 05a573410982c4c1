"""How the places of factors are drawn: together or not, with combinations left out.

Source: factors that are correlated as in Träuble et al. 2021 (arXiv 2006.07886), and
combinations that only the test has as in Montero et al. 2021 (ICLR); the copula and
the corner are this library's.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdis.types import PRNGKey

__all__ = [
    "Corner",
    "check_correlation",
    "copula",
    "copula_root",
    "corner",
    "drawn_until",
]

Draw = Callable[[PRNGKey, int], Float[Array, "n f"]]


def check_correlation(correlation: float, count: int) -> None:
    """Raises ValueError unless `count` factors can have a correlation pairwise.

    Args:
      correlation: of the normal variables of any two factors.
      count: the number of factors that are correlated.
    """
    if not -1.0 < correlation < 1.0:
        raise ValueError(f"data.correlation must lie in (-1, 1), got {correlation}")
    least = -1.0 / (count - 1) if count > 1 else -1.0
    if correlation <= least:
        raise ValueError(
            f"data.correlation must be above {least:.3g}, the least that {count} "
            f"factors can have pairwise, got {correlation}"
        )


def copula_root(
    correlation: float, correlated: tuple[bool, ...]
) -> Float[Array, "f f"]:
    """The Cholesky root of R, with R_ij the correlation of two that are correlated.

    Args:
      correlation: as in `check_correlation`.
      correlated: which factors are; the others are independent of all.
    """
    chosen = np.array(correlated, float)
    r = correlation * np.outer(chosen, chosen)
    np.fill_diagonal(r, 1.0)
    return jnp.asarray(np.linalg.cholesky(r), float)


def copula(root: Float[Array, "f f"], key: PRNGKey, n: int) -> Float[Array, "n f"]:
    """`Phi(e L')` with e standard normal: uniform places, of a Gaussian copula.

    The correlation of the places is `6 / pi asin(rho / 2)`, a little less than that of
    the normal variables, rho.

    Args:
      root: L.
      key: draws e.
      n: the number of rows.
    """
    noise = jax.random.normal(key, (n, len(root)))
    return jax.scipy.stats.norm.cdf(jnp.matmul(noise, root.T, precision="highest"))


class Corner(NamedTuple):
    """Combinations that are left out: all of some factors high at once.

    Attributes:
      columns: the columns of these factors; none for no corner.
      above: the place above which they are high.
      inside: whether rows are to be in the corner, or not.
    """

    columns: tuple[int, ...] = ()
    above: float = 1.0
    inside: bool = False


def corner(where: Corner, place: Float[Array, "*b f"]) -> Bool[Array, "*b"]:
    """Which rows are where they are to be.

    Args:
      where: the corner.
      place: settled places.
    """
    if not where.columns:
        return jnp.ones(place.shape[:-1], bool)
    high = (place[..., list(where.columns)] > where.above).all(-1)
    return high == where.inside


def drawn_until(
    draw: Draw, wanted: Callable[[Array], Bool[Array, "n"]], key: PRNGKey, n: int
) -> Float[Array, "n f"]:
    """Rows of a law given that they are wanted: the others are drawn again.

    Args:
      draw: `(key, n) -> rows`.
      wanted: `rows -> which of them`; of positive probability, or this never ends.
      key: a random key.
      n: the number of rows.
    """

    def again(state: tuple[PRNGKey, Array]) -> tuple[PRNGKey, Array]:
        key, rows = state
        key, fresh = jax.random.split(key)
        return key, jnp.where(wanted(rows)[:, None], rows, draw(fresh, n))

    key, first = jax.random.split(key)
    start = (key, draw(first, n))
    return jax.lax.while_loop(lambda s: ~wanted(s[1]).all(), again, start)[1]

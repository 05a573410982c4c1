"""scikit-learn's handwritten digits, labelled with attributes of the digit."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from jaxdis.types import Label, Rows, Spec, Splits

__all__ = ["ATTRIBUTES", "Digits"]

# Which digits have an attribute.
ATTRIBUTES: dict[str, tuple[int, ...]] = {
    "even": (0, 2, 4, 6, 8),
    "above 4": (5, 6, 7, 8, 9),
    "closed loop": (0, 6, 8, 9),
    "prime": (2, 3, 5, 7),
    "multiple of 3": (0, 3, 6, 9),
    "power of 2": (1, 2, 4, 8),
    "square": (0, 1, 4, 9),
    "Fibonacci": (0, 1, 2, 3, 5, 8),
    "above 7": (8, 9),
    "below 3": (0, 1, 2),
    "2 to 6": (2, 3, 4, 5, 6),
    "straight stroke": (1, 2, 4, 5, 7),
    "horizontal stroke": (2, 4, 5, 7),
    "open to the left": (2, 3, 5, 7, 9),
    "open to the right": (2, 4, 5, 6),
    "mirror image of itself": (0, 1, 3, 8),
}


@dataclass(frozen=True)
class Digits:
    """1,797 images of 8 x 8 pixels, as vectors in [0, 1]; nothing is downloaded.

    y has one column per attribute: 1 where the digit has it. A fifth of the images
    each is valid and test.

    Attributes:
      seed: the seed of the splits.
    """

    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and the names of the attributes."""
        return Spec(shape=(64,), labels=tuple(Label(name, 2) for name in ATTRIBUTES))

    def load(self) -> Splits:
        """The rows."""
        from sklearn.datasets import load_digits

        data = load_digits()
        has = np.array([[c in on for on in ATTRIBUTES.values()] for c in range(10)])
        y = has[data.target].astype(np.int32)
        x = (data.images.reshape(-1, 64) / 16.0).astype(np.float32)
        order = np.random.default_rng(self.seed).permutation(len(x))
        fifth = len(x) // 5

        def rows(some: np.ndarray) -> Rows:
            return Rows(jnp.asarray(x[some]), y=jnp.asarray(y[some]))

        return Splits(
            train=rows(order[2 * fifth :]),
            valid=rows(order[:fifth]),
            test=rows(order[fifth : 2 * fifth]),
        )

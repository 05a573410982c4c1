"""Settings that compile in seconds and together take every branch of the method."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxdis.data.digits import Digits
from jaxdis.data.factor_images import split_images
from jaxdis.data.factors import LabelledImages
from jaxdis.data.mixed_factors import MixedFactors
from jaxdis.data.own import OwnRows
from jaxdis.systems.shared_features.config import Config
from jaxdis.types import Label, Names, Rows, Spec, Splits

SIZES = (4, 3, 5)


@dataclass(frozen=True)
class Tiles:
    """Sixty images of 16 x 16 pixels, one for each combination of three factors.

    Attributes:
      seed: the seed of the pixels and splits.
    """

    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and factors."""
        labels = (Label("a", 4, ordered=True), Label("b", 3), Label("c", 5))
        return Spec((16, 16, 1), labels=labels, z_dim=3)

    def load(self) -> Splits:
        """Noise; its brightness depends on the factors."""
        values = np.stack(np.unravel_index(np.arange(60), SIZES), 1).astype(np.int32)
        noise = np.random.default_rng(self.seed).integers(0, 100, (60, 16, 16, 1))
        for j in range(3):
            noise[:, :, 5 * j : 5 * j + 5] += (30 * values[:, j])[:, None, None, None]
        images = LabelledImages(noise.astype(np.uint8), values, SIZES)
        return split_images(images, 20, self.seed)


def own_rows(count: int = 240, missing: float = 0.2) -> Rows:
    """A table of one's own: two columns of classes and two of numbers, some missing.

    Column 0 is the sign of x_0, column 1 has three classes by x_1, column 2 is
    `x_2 + 3`, and column 3 `x_0 - x_3`.
    """
    rng = np.random.default_rng(0)
    x: Any = rng.normal(size=(count, 4)).astype(np.float32)
    thirds = np.digitize(x[:, 1], [-0.5, 0.5])
    y: Any = np.stack([x[:, 0] > 0, thirds, x[:, 2] + 3, x[:, 0] - x[:, 3]], 1)
    y = y.astype(np.float32)
    y[rng.random(y.shape) < missing] = np.nan
    labels = (Label("sign", 2), Label("third", 3), Label("level"), Label("gap"))
    return Rows(x, y=y, names=Names(y=labels))


TOY = MixedFactors(z_dim=3, x_dim=4, test_rows=40)
SMALL = Config(
    z_dim=5, encoder=(8,), rounds=2, iters=5, batch=4, support=12, query=10,
    shots=(3, 8), test_tasks=6, test_query=20,
)  # fmt: skip
LABELS = Config(
    z_dim=4, encoder=(), solver="adam", batch=2, tasks="labels", new_labels=("even",),
    support=6, query=5, shots=(1, 2), test_tasks=15, test_query=10,
)  # fmt: skip
IMAGES = Config(
    z_dim=3, network="conv", width=2, outer="implicit", relative=True, rounds=1,
    iters=3, batch=2, tasks="factor_classes", support=5, query=4, shots=(3,),
    test_tasks=2, test_query=5, correlation=0.5,
)  # fmt: skip

OWN = Config(
    z_dim=0, network=None, encoder=(8,), rounds=2, iters=5, batch=4, tasks="labels",
    new_labels=("gap",), support=0, query=0, shots=(), test_tasks=8, test_query=0,
)  # fmt: skip

TINY = {
    "own": (OWN, OwnRows(own_rows()), {}),
    "toy": (SMALL, replace(TOY, worlds=2), {"warmup": 2.0, "usage_decay": 0.5}),
    "digits": (LABELS, Digits(), {}),
    # Adam makes full steps of what is rounding in gradients that are nearly 0.
    "images": (IMAGES, Tiles(), {"learning_rate": 1e-6}),
}
ELSEWHERE = {"grid"}  # needs several points; drawn in test_figures.py

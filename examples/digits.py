"""Shared features from attributes of handwritten digits, a fifth of the labels deleted.

    python examples/digits.py [--steps 2000] [--seeds 8] [--out runs/digits]

The images are those of scikit-learn, 1,797 of 8 x 8 pixels. Ten attributes of the digit
and five of its image are label columns; a fifth of all labels is deleted at random. Two
columns, one of either kind, are kept from training: on test images a few samples of
each fit a head on the learned features, or on the pixels, and the others judge it.
"""

import argparse

import numpy as np
from jaxtyping import Bool, Float

import jaxdis

OF_DIGITS = {
    "even": (0, 2, 4, 6, 8),
    "above 4": (5, 6, 7, 8, 9),
    "closed loop": (0, 6, 8, 9),
    "prime": (2, 3, 5, 7),
    "multiple of 3": (0, 3, 6, 9),
    "power of 2": (1, 2, 4, 8),
    "square": (0, 1, 4, 9),
    "straight stroke": (1, 2, 4, 5, 7),
    "open to the left": (2, 3, 5, 7, 9),
    "open to the right": (2, 4, 5, 6),
}
KEPT = ("closed loop", "top heavy")
MISSING = 0.2


def of_images(
    images: Float[np.ndarray, "n 8 8"],
) -> dict[str, Bool[np.ndarray, "n"]]:
    """Attributes of images, each of which halves them at a median.

    Args:
      images: the images, white on black.
    """
    ink = images.sum((1, 2))
    at = np.arange(8) - 3.5
    x = (images.sum(1) @ at) / ink
    y = (images.sum(2) @ at) / ink
    dx, dy = at[None] - x[:, None], at[None] - y[:, None]
    dx, dy = dx[:, None], dy[:, :, None]
    numbers = {
        "much ink": ink,
        "top heavy": -y,
        "wide": (images * dx**2).sum((1, 2)) / ink,
        "tall": (images * dy**2).sum((1, 2)) / ink,
        "leaning right": -(images * dx * dy).sum((1, 2)) / ink,
    }
    return {name: a > np.median(a) for name, a in numbers.items()}


def rows(seed: int = 0) -> jaxdis.Rows:
    """Pixels that vary, and attributes, some of which are not known.

    Args:
      seed: draws which labels are deleted.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    columns = {name: np.isin(digits.target, on) for name, on in OF_DIGITS.items()}
    columns |= of_images(digits.images)
    rng = np.random.default_rng(seed)
    arrays = {"x": digits.data[:, (digits.data > 0).mean(0) > 0.02] / 16}
    for name, has in columns.items():
        gone = rng.random(len(has)) < MISSING
        arrays[name] = np.where(gone, np.nan, has)
    return jaxdis.read(arrays, y=list(columns))


def main() -> None:
    """Trains without and with penalties, and prints how new tasks do."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--out", default=None)
    options = parser.parse_args()
    run = jaxdis.train(
        "shared_features/own",
        data=rows(),
        config={"new_labels": KEPT},
        steps=options.steps,
        seeds=options.seeds,
        out=options.out,
    )
    shots = run.record.arrays["shots"]
    print(f"\naccuracy on {' and '.join(KEPT)}, mean over seeds ± sample deviation")
    print("samples".rjust(41), *(f"{2 * k:14d}" for k in shots))
    for point, group in enumerate(run.record.groups):
        for name in ("few_shot_sparse", "few_shot_ridge", "raw_ridge", "raw_logistic"):
            seeds = [run.scores[f"{name}_{k}"][point] for k in shots]
            cells = [f"{a.mean():7.3f} ± {a.std(ddof=1):.3f}" for a in seeds]
            words = name.replace("few_shot_", "features, ").replace("raw_", "pixels, ")
            print(f"{group.label:22} {words:18}", *cells)
    print("report:", run.report())


if __name__ == "__main__":
    main()

"""The settings of shared features: what is compiled in, and what can be swept."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from jaxdis.types import Scalar

__all__ = ["Config", "Hyper", "Kinds"]

Kinds = Literal[
    "regression", "thresholds", "factor_regression", "factor_classes", "labels"
]


@dataclass(frozen=True)
class Config:
    """What is compiled in; the defaults are the toy's.

    Attributes:
      z_dim: the number of features m, at least that of the true factors where it is
        known; 0 for a number by the data, see `sizes.sized`.
      network: the encoder, "mlp", or "conv" for images whose sides are multiples of
        16; None for the one that fits the data.
      encoder: the widths of the hidden layers of the MLP; none for a linear encoder.
      width: the width of the convolutions.
      convolutions: "auto", "matmul" or "lax", the same function; see
        `nets.CONVOLUTIONS`.
      solver: what fits the heads of a step, "reweighted_fista", with exact zeros, or
        "adam"; a key of `heads.SOLVERS`.
      outer: the derivative of the fitted heads in the features, a key of
        `heads.GRADIENTS`; "unroll" is for tests.
      rounds: the number of rounds of the solver in a step.
      iters: the number of iterations in a round; 4 x 30 are not converged, and need not
        be.
      relative: whether alpha counts in units of the smallest alpha that empties a head.
      batch: the number of tasks in a step.
      precision: the precision of matrix products; heads are always fitted in float32.
      tasks: the kind of tasks, a key of `tasks.KINDS`: "regression" and "thresholds" on
        the latents of a toy, "factor_regression" and "factor_classes" on image factors,
        or "labels", the label columns that the data have, of numbers and of classes;
        rows whose label is missing are left out column by column.
      noise: the standard deviation of the noise of regression targets; for
        "factor_regression" the length of the noise relative to that of the targets.
      correlation: the correlation of the factors in the images that are drawn, in
        [0, 1).
      new_labels: the label columns that are kept from training, for the new tasks of
        "labels"; without any, new tasks ask for all columns.
      support: the number of samples of a training task that fit its head; 0 for a
        number by the data, as of `query`.
      query: the number of samples of a training task that judge it.
      shots: the numbers of samples that a new task gets; for "labels" that many times
        the largest number of classes, the classes of a column in turn. None are left to
        the data.
      test_tasks: the number of new tasks; for "labels" the largest number.
      test_query: the number of samples that judge each new task; 0, for "labels", for
        all that are left, at most 200.
      seed: the seed of the new tasks.
    """

    z_dim: int = 10
    network: Literal["mlp", "conv"] | None = "mlp"
    encoder: tuple[int, ...] = (128, 128)
    width: int = 32
    convolutions: Literal["auto", "matmul", "lax"] = "matmul"
    solver: Literal["reweighted_fista", "adam"] = "reweighted_fista"
    outer: Literal["stop_gradient", "implicit", "unroll"] = "stop_gradient"
    rounds: int = 4
    iters: int = 30
    relative: bool = False
    batch: int = 16
    precision: Literal["highest", "high", "default"] = "highest"
    tasks: Kinds = "regression"
    noise: float = 0.1
    correlation: float = 0.0
    new_labels: tuple[str, ...] = ()
    support: int = 40
    query: int = 40
    shots: tuple[int, ...] = (5, 10, 20, 40)
    test_tasks: int = 64
    test_query: int = 200
    seed: int = 0


class Hyper(NamedTuple):
    """What can be swept in one program; every field is a scalar array.

    Attributes:
      learning_rate: the rate of Adam at the start.
      decay_steps: the number of steps in which it falls to 0 along a cosine.
      alpha: the weight of sparsity, `|w_t|_1` of a task.
      beta: the weight of sharing, the entropy of the features' usage; 0 is off.
      warmup: the number of steps in which beta rises from 0 along a line; 0 is none.
        Pressed from the start, some seeds merge factors that they cannot tell apart
        yet.
      ridge: the weight of `|w_t|^2 / 2` in the heads' fit.
      usage_decay: the share of past steps in the usage, for few tasks in a step; 0 is
        off.
      adapt_alpha: the alpha of the sparse heads of new tasks in the report.
    """

    learning_rate: Scalar
    decay_steps: Scalar
    alpha: Scalar
    beta: Scalar
    warmup: Scalar
    ridge: Scalar
    usage_decay: Scalar
    adapt_alpha: Scalar

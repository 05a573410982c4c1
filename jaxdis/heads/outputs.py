"""What given heads answer, and how well."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdis.heads.problem import (
    MASKED,
    Targets,
    loss,
    make_problem,
    matmul,
    outputs_of,
)

__all__ = ["answers", "head_loss", "predict", "scores"]


def predict(
    w: Float[Array, "t m c"], b: Float[Array, "t c"], features: Float[Array, "t n m"]
) -> Float[Array, "t n c"]:
    """Outputs of the heads, `F w + b`: numbers, or logits.

    Args:
      w: the weights of the heads.
      b: their biases.
      features: F, standardised as for the fit.
    """
    return matmul(features, w) + b[:, None]


def head_loss(
    w: Float[Array, "t m c"],
    b: Float[Array, "t c"],
    features: Float[Array, "t n m"],
    targets: Targets,
    classes: int | None = None,
    class_mask: Bool[Array | np.ndarray, "t c"] | None = None,
    numbers: Bool[Array | np.ndarray, "t"] | None = None,
) -> Float[Array, "t"]:
    """l_t of given heads without any penalty: half the mean squared error, or nats.

    Args:
      w: the weights of the heads.
      b: their biases.
      features: F, standardised as for the fit.
      targets: floats, or integers in 0 .. classes - 1.
      classes: C; None for regression.
      class_mask: which of the classes a task has; None for all.
      numbers: which tasks are regression, if they are of both kinds.
    """
    problem = make_problem(features, targets, classes, class_mask, 0.0, numbers)
    v = w if classes is None else jnp.concatenate([w, b[:, None]], 1)
    return loss(problem, v)


def scores(
    w: Float[Array, "t m c"],
    b: Float[Array, "t c"],
    features: Float[Array, "t n m"],
    targets: Targets,
    classes: int | None = None,
    class_mask: Bool[Array | np.ndarray, "t c"] | None = None,
    numbers: Bool[Array | np.ndarray, "t"] | None = None,
) -> Float[Array, "t"]:
    """Accuracy of every task, or R^2 = 1 - mean error^2 / variance of its targets.

    Args:
      w: the weights of the heads.
      b: their biases.
      features: F, standardised as for the fit.
      targets: floats, or integers in 0 .. classes - 1.
      classes: C; None for regression.
      class_mask: which of the classes a task has; None for all.
      numbers: which tasks are regression, if they are of both kinds.
    """
    outputs = predict(w, b, features)
    if classes is None:
        return _explained(outputs, targets)
    explained = _explained(outputs, targets)
    if class_mask is not None:
        outputs = jnp.where(class_mask[:, None], outputs, MASKED)
    right = (outputs.argmax(-1) == targets).mean(1)
    if numbers is None:
        return right
    return jnp.where(numbers, explained, right)


def _explained(outputs: Float[Array, "t n c"], targets: Targets) -> Float[Array, "t"]:
    error = ((outputs[..., 0] - targets) ** 2).mean(1)
    return 1 - error / jnp.maximum(targets.var(1), 1e-12)


def answers(
    outputs: Float[Array, "t n c"],
    allowed: Bool[Array | np.ndarray, "t c"],
    numbers: Bool[Array | np.ndarray, "t"],
) -> Float[Array, "t n c"]:
    """Outputs in the units of the targets: probabilities of classes, or the number.

    Args:
      outputs: what `predict` gave.
      allowed: the classes of the tasks that have classes.
      numbers: which tasks are regression.

    Returns:
      The probabilities of the classes, 0 for one that a task does not have; of numbers
      the number in the first place, and 0.
    """
    there = outputs_of(allowed, numbers)[:, None]
    classes = jax.nn.softmax(jnp.where(there, outputs, MASKED))
    given = jnp.where(there, outputs, 0.0)
    return jnp.where(jnp.asarray(numbers)[:, None, None], given, classes)

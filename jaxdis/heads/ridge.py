"""Ridge heads, which are neither sparse nor shared."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdis import linalg
from jaxdis.heads.checks import as_float, as_tasks, check_tasks
from jaxdis.heads.problem import MASKED, Targets, as_outputs, matmul, outputs_of
from jaxdis.types import Scalar

__all__ = ["ridge_heads"]


def ridge_heads(
    features: Float[Array | np.ndarray, "t n m"],
    targets: Targets,
    penalty: Scalar,
    classes: int | None = None,
    class_mask: Bool[Array | np.ndarray, "t c"] | None = None,
    numbers: Bool[Array | np.ndarray, "t"] | None = None,
) -> tuple[Float[Array, "t m c"], Float[Array, "t c"]]:
    """Ridge heads in closed form, `w = (F'F / n + penalty)^-1 F'(y - b) / n`.

    Features are centred in every task and b is the mean that this takes out. Classes
    are regressed on as one-hot rows, and the largest output wins.

    Args:
      features: F.
      targets: floats, or integers in 0 .. classes - 1.
      penalty: the weight of `|w|^2 / 2`, traced.
      classes: C; None for regression.
      class_mask: which of the classes a task has; None for all.
      numbers: which tasks are regression, if they are of both kinds.

    Returns:
      Weights and biases.

    Raises:
      ValueError: as `fit_heads`.
    """
    features, targets = as_tasks("features", features), as_tasks("targets", targets)
    check_tasks(features, targets, classes, class_mask, {"penalty": penalty}, numbers)
    features, targets = as_float(features), jnp.asarray(targets)
    y = targets[:, :, None]
    if classes is not None:
        y = as_outputs(targets, classes, numbers, features.dtype)
    middle, level = features.mean(1, keepdims=True), y.mean(1, keepdims=True)
    centred = features - middle
    n = features.shape[1]
    gram = matmul(centred.swapaxes(1, 2), centred) / n
    gram = gram + penalty * jnp.eye(gram.shape[1], dtype=gram.dtype)[None]
    moment = matmul(centred.swapaxes(1, 2), y - level) / n
    w = jax.vmap(linalg.solve)(gram, moment)
    b = (level - matmul(middle, w))[:, 0]
    if class_mask is not None:
        if numbers is not None:
            class_mask = outputs_of(class_mask, numbers)
        b = jnp.where(class_mask, b, MASKED)
    return w, b

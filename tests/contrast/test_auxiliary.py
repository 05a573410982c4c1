"""What is known of a row beside x, as a vector."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.contrast import VARIABLES, chosen
from jaxdis.types import Label, Rows, Spec

X = jnp.zeros((3, 2))
LABELS = (Label("kind", 3), Label("size"))
SPEC = Spec(shape=(2,), a_dim=2, domains=("p", "q"), labels=LABELS)


def vector(name, **fields):
    variable = VARIABLES[name]
    found = variable.value(Rows(X, **fields), SPEC)
    assert found.shape == (3, variable.size(SPEC))
    return np.asarray(found)


def test_actions_domains_and_labels_as_vectors():
    a = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(vector("a", a=jnp.asarray(a)), a)
    u = jnp.array([0, 1, 1])
    np.testing.assert_array_equal(vector("u", u=u), [[1, 0], [0, 1], [0, 1]])
    y = jnp.array([[2.0, 0.5], [jnp.nan, 1.5], [0.0, jnp.nan]])
    # What is missing is 0 throughout.
    wanted = [[0, 0, 1, 0.5], [0, 0, 0, 1.5], [1, 0, 0, 0]]
    np.testing.assert_array_equal(vector("y", y=y), wanted)


def test_the_first_that_there_is_unless_one_is_named():
    assert chosen("gcl", None, SPEC) == "a"
    assert chosen("gcl", "y", SPEC) == "y"
    assert chosen("gcl", None, SPEC._replace(a_dim=0)) == "u"
    assert chosen("gcl", None, Spec(shape=(2,), labels=LABELS)) == "y"
    with pytest.raises(ValueError, match="gcl needs actions `a`; this data set has x"):
        chosen("gcl", "a", Spec(shape=(2,)))
    with pytest.raises(ValueError, match=r"config\.auxiliary must be one of None, 'a'"):
        chosen("gcl", "actions", SPEC)
    with pytest.raises(ValueError, match="actions `a` or domains `u` or labels `y`"):
        chosen("gcl", None, Spec(shape=(2,)))

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.metrics import assign, correlation_matrix, edge_errors, permute_graphs, shd


def matrix_of(assignment):
    """P[i, pi(i)] = 1."""
    permutation = np.zeros((len(assignment), len(assignment)), int)
    permutation[np.arange(len(assignment)), assignment] = 1
    return permutation


def random_graphs(rng, d=6, a=4):
    return rng.integers(0, 2, (d, d)), rng.integers(0, 2, (d, a))


def test_permute_graphs_is_a_product_with_the_permutation_matrix():
    rng = np.random.default_rng(0)
    for _ in range(5):
        gz, ga = random_graphs(rng)
        order = rng.permutation(6)
        p = matrix_of(order)
        gz_true, ga_true = permute_graphs(gz, ga, order)
        np.testing.assert_array_equal(gz_true, p @ gz @ p.T)
        np.testing.assert_array_equal(ga_true, p @ ga)


def test_errors_by_hand():
    # Codes are swapped. P Ghat^z P' = [[1, 1], [0, 0]] against the identity: (0, 1) is
    # extra, (1, 1) is missing. P Ghat^a = [[1, 0], [0, 0]] against [[1, 1], [1, 0]]:
    # two are missing.
    gz, gz_hat = np.eye(2, dtype=int), np.array([[0, 0], [1, 1]])
    ga, ga_hat = np.array([[1, 1], [1, 0]]), np.array([[0, 0], [1, 0]])
    swap = np.array([1, 0])
    missing, extra = edge_errors(gz, ga, gz_hat, ga_hat, swap)
    assert (int(missing), int(extra)) == (3, 1)
    distance = shd(gz, ga, gz_hat, ga_hat, swap)
    assert distance == 4
    assert jnp.issubdtype(distance.dtype, jnp.integer)
    missing, extra = edge_errors(gz, None, gz_hat, None, swap)
    assert (int(missing), int(extra)) == (1, 1)
    missing, extra = edge_errors(None, ga, None, ga_hat, swap)
    assert (int(missing), int(extra)) == (2, 0)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_any_type_of_graph(dtype):
    true, learned = np.array([[1, 0], [0, 1]], dtype), np.array([[1, 1], [0, 0]], dtype)
    missing, extra = edge_errors(true, None, learned, None, np.arange(2))
    assert (int(missing), int(extra)) == (1, 1)


def test_a_reversed_edge_counts_twice():
    forward = np.array([[0, 0], [1, 0]])
    assert int(shd(forward, None, forward.T, None, np.arange(2))) == 2


def test_dense_and_empty_graphs():
    rng = np.random.default_rng(1)
    gz, ga = random_graphs(rng)
    edges = gz.sum() + ga.sum()
    ones, zeros = (
        (np.ones((6, 6)), np.ones((6, 4))),
        (np.zeros((6, 6)), np.zeros((6, 4))),
    )
    order = rng.permutation(6)
    assert [int(e) for e in edge_errors(gz, ga, *ones, order)] == [0, 60 - edges]
    assert [int(e) for e in edge_errors(gz, ga, *zeros, order)] == [edges, 0]


def test_the_assignment_of_permuted_codes_undoes_their_order():
    # Code m is factor order[m], so its learned row and column are those of that factor.
    rng = np.random.default_rng(2)
    gz, ga = random_graphs(rng)
    order = rng.permutation(6)
    z = rng.normal(size=(200, 6))
    learned = gz[np.ix_(order, order)], ga[order]
    pi = assign(correlation_matrix(z, -z[:, order]))
    assert int(shd(gz, ga, *learned, pi)) == 0
    assert int(shd(gz, ga, *learned, np.arange(6))) > 0


def test_jit_and_vmap_over_seeds():
    rng = np.random.default_rng(3)
    gz, ga = random_graphs(rng)
    gz_hat, ga_hat = rng.integers(0, 2, (3, 6, 6)), rng.integers(0, 2, (3, 6, 4))
    orders = np.stack([rng.permutation(6) for _ in range(3)])
    over_seeds = jax.jit(jax.vmap(shd, (None, None, 0, 0, 0)))
    alone = [shd(gz, ga, gz_hat[s], ga_hat[s], orders[s]) for s in range(3)]
    np.testing.assert_array_equal(over_seeds(gz, ga, gz_hat, ga_hat, orders), alone)
    over_seeds = jax.vmap(shd, (None, None, None, 0, 0))
    alone = [shd(None, ga, None, ga_hat[s], orders[s]) for s in range(3)]
    np.testing.assert_array_equal(over_seeds(None, ga, None, ga_hat, orders), alone)


EYE = np.eye(3, dtype=int)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((EYE, None, None, EYE, np.arange(3)), "gz has shape .* and gz_hat None"),
        ((EYE, None, np.eye(4), None, np.arange(4)), r"gz_hat \(4, 4\)"),
        ((None, None, None, None, np.arange(3)), "both None"),
        ((EYE, None, EYE, None, np.arange(4)), r"assignment has shape \(4,\)"),
        ((EYE, None, EYE, None, np.array([0, 1, -1])), "permutation of 0..2"),
        ((EYE, None, EYE, None, np.array([0, 1, 1])), "permutation of 0..2"),
        ((EYE, None, EYE * 0.9, None, np.arange(3)), "gz_hat holds other values"),
        ((None, EYE * 2, None, EYE, np.arange(3)), "ga holds other values"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        edge_errors(*arguments)
    with pytest.raises(ValueError, match=message):
        shd(*arguments)

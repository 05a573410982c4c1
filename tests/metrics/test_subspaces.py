import jax
import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression

from jaxdis.metrics import standardise, subspace_r2
from jaxdis.metrics.inputs import halves
from jaxdis.metrics.kernel import split_rows

BLOCKS = [[0, 1], [2, 3, 4]]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def z(rng):
    return rng.normal(size=(600, 5))


def rotated(rng, z):
    """Each block of factors turned within itself, the blocks exchanged."""
    first, second = (np.linalg.qr(rng.normal(size=(d, d)))[0] for d in (2, 3))
    return np.hstack([z[:, 2:] @ second, z[:, :2] @ first])


def oracle(z, codes, code_blocks, model, rows):
    """R2 of each block of factors on each block of codes, by scikit-learn."""
    fit, judge = rows
    matrix = np.zeros((2, len(code_blocks)))
    for j, own in enumerate(code_blocks):
        for i, block in enumerate(BLOCKS):
            scores = [
                model(len(own))
                .fit(codes[fit][:, own], z[fit, f])
                .score(codes[judge][:, own], z[judge, f])
                for f in block
            ]
            matrix[i, j] = np.mean(scores)
    return matrix


def ridge(k):
    return KernelRidge(kernel="rbf", alpha=0.1, gamma=1 / k)


@pytest.mark.parametrize("key", [None, 3])
def test_matches_sklearn(rng, z, key):
    codes = np.tanh(rotated(rng, z)) + 0.3 * rng.normal(size=z.shape)
    given = [[3, 4], [0, 1], [2]]
    found = subspace_r2(z, codes, BLOCKS, given, key=key)
    rows = halves(key, len(z))
    expected = oracle(z, codes, given, lambda _: LinearRegression(), rows)
    np.testing.assert_allclose(found.matrix, expected, atol=1e-6)
    # The second block of factors has the better of its two blocks of codes.
    assert float(found.own) == pytest.approx((expected[0, 0] + expected[1, 1]) / 2)
    others = [expected[0, 1], expected[0, 2], expected[1, 0], expected[1, 2]]
    assert float(found.off) == pytest.approx(max(others))
    found = subspace_r2(z, codes, BLOCKS, given, probe="kernel", key=key)
    scaled = np.asarray(standardise(z)), np.asarray(standardise(codes))
    expected = oracle(*scaled, given, ridge, split_rows(len(z), key))
    np.testing.assert_allclose(found.matrix, expected, atol=1e-5)


def test_blocks_that_are_recovered_up_to_maps_within(rng, z):
    codes = rotated(rng, z)
    for code_blocks in (None, [[0, 1, 2], [3, 4]], [[3, 4], [0, 1, 2]]):
        found = subspace_r2(z, codes, BLOCKS, code_blocks)
        assert float(found.own) == pytest.approx(1, abs=1e-6)
        assert float(found.off) < 0.05
    in_order = subspace_r2(z, codes, BLOCKS, [[0, 1, 2], [3, 4]], match=False)
    assert float(in_order.own) < 0.05
    assert float(in_order.off) == pytest.approx(1, abs=1e-6)


def test_mixed_and_useless_codes(rng, z):
    mixed = z @ np.linalg.qr(rng.normal(size=(5, 5)))[0]
    found = subspace_r2(z, mixed, BLOCKS, BLOCKS)
    assert float(found.own) < 0.9
    assert float(found.off) > 0.1
    useless = subspace_r2(z, rng.normal(size=z.shape), BLOCKS, BLOCKS)
    assert -0.1 < float(useless.own) < 0.05
    duplicated = subspace_r2(z, np.hstack([z, z]), BLOCKS, [[0, 1, 5, 6], [2, 3, 4]])
    assert float(duplicated.own) == pytest.approx(1, abs=1e-6)


def test_curved_maps_within_a_block_need_the_kernel(rng):
    z = rng.normal(size=(2000, 5))
    angle = 1.5 * np.linalg.norm(z[:, :2], axis=1)
    c, s = np.cos(angle), np.sin(angle)
    turned = [c * z[:, 0] - s * z[:, 1], s * z[:, 0] + c * z[:, 1]]
    codes = np.column_stack([*turned, z[:, 2:]])
    own = [
        float(subspace_r2(z, codes, BLOCKS, BLOCKS, probe=p).matrix[0, 0])
        for p in ("linear", "kernel")
    ]
    assert own[0] < 0.5
    assert own[1] > 0.9


@pytest.mark.parametrize("probe", ["linear", "kernel"])
def test_seeds_jit_constants_and_failed_runs(rng, z, probe):
    codes = z + rng.normal(size=(3, *z.shape))
    apart = [subspace_r2(z, c, BLOCKS, probe=probe) for c in codes]
    found = subspace_r2(z, codes, BLOCKS, probe=probe)
    jitted = jax.jit(lambda c: subspace_r2(z, c, BLOCKS, probe=probe))(codes)
    for at in range(3):
        for value, together, traced in zip(apart[at], found, jitted, strict=True):
            np.testing.assert_allclose(together[at], value, atol=1e-6)
            np.testing.assert_allclose(traced[at], value, atol=1e-5)
    codes[1, 3, 2] = np.nan
    broken = subspace_r2(z, codes, BLOCKS, probe=probe, failed="nan")
    for value, whole in zip(broken, found, strict=True):
        assert np.isnan(np.asarray(value)[1]).all()
        np.testing.assert_allclose(value[0], whole[0], rtol=1e-6)
    z[:, 4] = 2.0
    with pytest.warns(UserWarning, match=r"z is constant in columns \[4\]"):
        flat = subspace_r2(z, codes[0], BLOCKS, BLOCKS, probe=probe)
    with pytest.warns(UserWarning, match=r"z is constant in columns \[4\]"):
        less = subspace_r2(z, codes[0], [[0, 1], [2, 3]], BLOCKS, probe=probe)
    np.testing.assert_allclose(flat.matrix[1], less.matrix[1] * 2 / 3, atol=1e-5)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z: subspace_r2(z, z, [[0, 5]]), "blocks names column 5; the last one"),
        (lambda z: subspace_r2(z, z, [[0], [0, 1]]), "no column in two of them"),
        (lambda z: subspace_r2(z, z, [[0], []]), "none of them empty"),
        (lambda z: subspace_r2(z, z, [[0.5]]), "a column in blocks must be a whole"),
        (lambda z: subspace_r2(z, z, BLOCKS, [[0, -1]]), "code_blocks names column -1"),
        (
            lambda z: subspace_r2(z, z, BLOCKS, [[0]], match=False),
            "code_blocks holds 1 blocks and blocks 2",
        ),
        (lambda z: subspace_r2(z, z, BLOCKS, probe="mlp"), "probe must be one of"),
    ],
)
def test_wrong_arguments_are_refused(z, call, message):
    with pytest.raises(ValueError, match=message):
        call(z)

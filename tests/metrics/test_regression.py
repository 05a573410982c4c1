import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression

from jaxdis.identifiability import consistency_pattern
from jaxdis.metrics import block_r2, mcc, r, r2, r_con, standardise
from jaxdis.metrics.kernel import split_rows

HADAMARD = np.kron([[1, 1], [1, -1]], [[1, 1], [1, -1]]) / 2


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def r2_oracle(z, z_hat, mask=None):
    """R2 of each factor on the codes of its row of the mask."""
    mask = np.ones((z.shape[1], z_hat.shape[1]), bool) if mask is None else mask

    def score(target, codes):
        if codes.shape[1] == 0:
            return 0.0
        return LinearRegression().fit(codes, target).score(codes, target)

    return np.array([score(z[:, i], z_hat[:, used]) for i, used in enumerate(mask)])


def allowed_codes(z, z_hat, pattern):
    """Mask C P, with P from scipy."""
    d, k = z.shape[1], z_hat.shape[1]
    correlations = np.abs(np.corrcoef(z, z_hat, rowvar=False)[:d, d:])
    factors, codes = linear_sum_assignment(correlations, maximize=True)
    p = np.zeros((d, k), int)
    p[factors, codes] = 1
    return pattern.astype(int) @ p > 0


@pytest.mark.parametrize("k", [3, 8])
def test_matches_sklearn(rng, k):
    z = rng.normal(size=(400, 4))
    z_hat = z @ rng.normal(size=(4, k)) + rng.normal(size=(400, k)) + 3
    pattern = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 1]], bool)
    expected = r2_oracle(z, z_hat)
    assert float(r2(z, z_hat)) == pytest.approx(expected.mean(), abs=1e-6)
    assert float(r(z, z_hat)) == pytest.approx(np.sqrt(expected).mean(), abs=1e-6)
    for allowed in (pattern, pattern.T):
        expected = r2_oracle(z, z_hat, allowed_codes(z, z_hat, allowed))
        score = float(r_con(z, z_hat, allowed))
        assert score == pytest.approx(np.sqrt(expected).mean(), abs=1e-6)


class TestKnownAnswers:
    def test_perfect(self, rng):
        z = rng.uniform(size=(400, 4))
        z_hat = (z * rng.choice([-9, 0.1], 4) + 5)[:, [2, 0, 3, 1]]
        for score in (r(z, z_hat), r2(z, z_hat), r_con(z, z_hat, np.eye(4))):
            assert float(score) == pytest.approx(1, abs=1e-6)

    def test_useless(self, rng):
        # In sample, E R2 = k / (n - 1) for independent codes; by Jensen R <= its root.
        n, k = 2000, 10
        z, z_hat = rng.normal(size=(n, 20)), rng.normal(size=(n, k))
        assert float(r2(z, z_hat)) == pytest.approx(k / (n - 1), rel=0.3)
        assert float(r(z, z_hat)) == pytest.approx(np.sqrt(k / (n - 1)), rel=0.15)

    def test_duplicated(self, rng):
        z = rng.normal(size=(400, 4))
        noisy = z + rng.normal(size=(400, 4))
        for copies in (2, 6):
            assert float(r(z, np.hstack([z] * copies))) == pytest.approx(1, abs=1e-6)
            score = float(r(z, np.hstack([noisy] * copies)))
            assert score == pytest.approx(float(r(z, noisy)), abs=1e-5)

    def test_hadamard_rotation(self, rng):
        z = rng.integers(0, 10, (5000, 4))
        z_hat = z @ HADAMARD
        assert float(r(z, z_hat)) == pytest.approx(1, abs=1e-6)
        assert float(r2(z, z_hat)) == pytest.approx(1, abs=1e-6)
        assert float(mcc(z, z_hat)) == pytest.approx(0.5, abs=0.02)

    def test_linearly_dependent_codes(self, rng):
        z = rng.normal(size=(400, 4))
        assert float(r(z, z @ rng.normal(size=(4, 24)))) == pytest.approx(1, abs=1e-5)

    def test_ill_conditioned_mixing(self, rng):
        z = rng.normal(size=(400, 4))
        u, v = np.linalg.qr(rng.normal(size=(2, 4, 4)))[0]
        z_hat = z @ (u * np.geomspace(1, 5e-3, 4)) @ v
        assert float(r(z, z_hat)) == pytest.approx(1, abs=1e-4)

    def test_noise_of_equal_variance(self, rng):
        # corr(z, z + e)^2 = 1 / 2.
        z, noise = rng.normal(size=(2, 5000, 4))
        assert float(r2(z, z + noise)) == pytest.approx(0.5, abs=0.02)
        assert float(r(z, z + noise)) == pytest.approx(np.sqrt(0.5), abs=0.02)


def test_invariant_to_invertible_linear_maps_of_the_codes(rng):
    z = rng.normal(size=(400, 4))
    z_hat = z + rng.normal(size=(400, 4))
    mixed = z_hat @ rng.normal(size=(4, 4)) + 2
    assert float(r2(z, mixed)) == pytest.approx(float(r2(z, z_hat)), abs=1e-5)


class TestPattern:
    @pytest.mark.parametrize("noise", [1, 1000])
    def test_the_identity_gives_mcc(self, rng, noise):
        # At noise 1000, sqrt(1 - RSS / TSS) would have lost its digits.
        z = rng.normal(size=(5000, 4))
        z_hat = z @ rng.normal(size=(4, 4)) + noise * rng.normal(size=(5000, 4))
        expected = pytest.approx(float(mcc(z, z_hat)), abs=1e-5)
        assert float(r_con(z, z_hat, np.eye(4, dtype=bool))) == expected

    def test_ones_give_r(self, rng):
        z, z_hat = rng.normal(size=(2, 400, 4))
        expected = pytest.approx(float(r(z, z_hat)), abs=1e-6)
        assert float(r_con(z, z_hat, np.ones((4, 4)))) == expected

    def test_ordering(self, rng):
        for noise in (0.01, 1, 100):
            z = rng.normal(size=(400, 4))
            z_hat = z @ rng.normal(size=(4, 4)) + noise * rng.normal(size=(400, 4))
            pattern = consistency_pattern(None, rng.integers(0, 2, (4, 3)))
            score = float(r_con(z, z_hat, pattern))
            assert float(mcc(z, z_hat)) - 1e-6 <= score <= float(r(z, z_hat)) + 1e-6

    def test_orientation(self, rng):
        # Latents 0, 1 have the parent a_0 and 8, 9 have a_0, a_4, so C allows z_0 the
        # code of z_8: from a code z_0 + z_8 it can be subtracted again. The transpose
        # leaves z_0 only its own code and that of z_1: a correlation of 1 / sqrt 2.
        ga = np.kron(np.eye(5, dtype=int), np.ones((2, 1), int))
        ga[8:, 0] = 1
        pattern = consistency_pattern(None, ga)
        z = rng.normal(size=(20_000, 10))
        partial = (9 + np.sqrt(0.5)) / 10  # .971
        for changed, added, score, transposed in [
            (0, 8, 1, partial),
            (8, 0, partial, 1),
        ]:
            z_hat = z.copy()
            z_hat[:, changed] += z[:, added]
            assert float(r_con(z, z_hat, pattern)) == pytest.approx(score, abs=1e-3)
            found = float(r_con(z, z_hat, pattern.T))
            assert found == pytest.approx(transposed, abs=1e-3)

    def test_codes_are_reached_through_the_assignment(self, rng):
        # z_0 may see the code of z_1, which is column 2; column 1 holds z_0 + z_1.
        z = rng.normal(size=(400, 4))
        z_hat = np.stack([z[:, 2], z[:, 0] + z[:, 1], z[:, 1], z[:, 3]], 1)
        pattern = np.eye(4, dtype=bool)
        pattern[0, 1] = True
        assert float(r_con(z, z_hat, pattern)) == pytest.approx(1, abs=1e-6)
        assert float(r_con(z, z_hat, pattern.T)) < 0.96


PAIRS = np.kron(np.eye(2, dtype=int), np.ones((2, 2), int))


def block_r2_oracle(z, z_hat, mask):
    fit, judge = split_rows(len(z))
    z, z_hat = np.asarray(standardise(z)), np.asarray(standardise(z_hat))

    def score(target, codes):
        model = KernelRidge(kernel="rbf", alpha=0.1, gamma=1 / codes.shape[1])
        return model.fit(codes[fit], target[fit]).score(codes[judge], target[judge])

    return np.array([score(z[:, i], z_hat[:, used]) for i, used in enumerate(mask)])


def turn(pair):
    """Rotates the plane by the distance from its centre: one to one, not linear."""
    angle = np.linalg.norm(pair, axis=1)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c * pair[:, 0] - s * pair[:, 1], s * pair[:, 0] + c * pair[:, 1]])


class TestBlocks:
    def test_matches_sklearn(self, rng):
        z = rng.normal(size=(400, 4))
        z_hat = np.tanh(z @ rng.normal(size=(4, 8))) + 0.2 * rng.normal(size=(400, 8))
        for pattern in (PAIRS, np.triu(np.ones((4, 4), int))):
            mask = allowed_codes(z, z_hat, pattern)
            expected = np.maximum(block_r2_oracle(z, z_hat, mask), 0).mean()
            found = float(block_r2(z, z_hat, pattern))
            assert found == pytest.approx(expected, abs=1e-5)

    def test_rows_that_judge_do_not_fit(self):
        for n, sizes in ((4, (2, 2)), (101, (50, 51)), (6000, (512, 2048))):
            fit, judge = split_rows(n)
            assert (len(fit), len(judge)) == sizes
            assert len({*fit, *judge}) == sum(sizes)
        for domains in (2, 3, 9):  # rows in turns and rows sorted by domain
            for u in (np.arange(6000) % domains, np.arange(6000) * domains // 6000):
                assert (
                    np.bincount(u[fit], minlength=domains).min() > 0.5 * 512 / domains
                )

    def test_maps_within_blocks_are_no_loss_and_maps_across_are(self, rng):
        z = rng.normal(size=(4000, 4))
        z_hat = np.concatenate([turn(z[:, :2]), turn(z[:, 2:])]).T
        assert float(r_con(z, z_hat, PAIRS)) < 0.85
        assert float(block_r2(z, z_hat, PAIRS)) > 0.97
        assert float(block_r2(z, z_hat, 1 - PAIRS)) < 0.01
        # Here half of the codes of each block come from the other one.
        across = np.concatenate([turn(z[:, [0, 2]]), turn(z[:, [1, 3]])]).T
        assert float(block_r2(z, across, PAIRS)) < 0.75
        assert float(block_r2(z, across, np.ones((4, 4)))) > 0.9

    def test_singletons_see_through_a_monotone_map(self, rng):
        z = rng.normal(size=(4000, 4))
        z_hat = np.sinh(1.5 * z)[:, [2, 0, 3, 1]]
        assert float(mcc(z, z_hat)) < 0.9
        assert float(block_r2(z, z_hat, np.eye(4))) > 0.95

    def test_useless_codes(self, rng):
        z, z_hat = rng.normal(size=(2, 400, 4))
        assert float(block_r2(z, z_hat, np.ones((4, 4)))) < 0.05
        assert float(block_r2(z, z_hat, np.zeros((4, 4)))) == pytest.approx(0, abs=1e-3)

    def test_too_few_rows_are_refused(self):
        with pytest.raises(ValueError, match="z has 3 rows"):
            block_r2(GOOD[:3], GOOD[:3], np.eye(2))


def scores(z, z_hat, failed="raise"):
    d = z.shape[1]
    pattern = np.triu(np.ones((d, d), bool))
    linear = [f(z, z_hat, failed=failed) for f in (r, r2)]
    patterned = [f(z, z_hat, pattern, failed=failed) for f in (r_con, block_r2)]
    return jnp.stack([*linear, *patterned])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_failed_run_is_nan_and_its_neighbours_stand(rng, value):
    z = rng.normal(size=(400, 4))
    z_hat = z[None] + rng.normal(size=(3, 400, 4))
    expected = np.asarray(scores(z, z_hat))
    z_hat[1, 5, 2] = value
    found = np.asarray(scores(z, z_hat, failed="nan"))
    assert np.isfinite(expected).all()
    assert np.isnan(found[:, 1]).all()
    np.testing.assert_array_equal(found[:, [0, 2]], expected[:, [0, 2]])


def test_a_failed_code_that_is_not_assigned_fails_the_run(rng):
    z = rng.normal(size=(400, 4))
    z_hat = np.hstack([z, rng.normal(size=(400, 4))])
    z_hat[0, 6] = np.nan
    assert np.isnan(scores(z, z_hat, failed="nan")).all()


@pytest.mark.filterwarnings("ignore:codes is constant")
def test_dead_codes_add_nothing(rng):
    z = rng.normal(size=(400, 4))
    z_hat = z + rng.normal(size=(400, 4))
    padded = np.hstack([np.full((400, 4), 100.1), z_hat])
    np.testing.assert_allclose(scores(z, padded), scores(z, z_hat), atol=1e-6)
    np.testing.assert_array_equal(scores(z, np.ones((400, 4))), 0)
    # Two dead codes of four: their factors are left to the other codes.
    assert float(r(z, z * [1, 1, 0, 0])) == pytest.approx(
        np.sqrt(r2_oracle(z, z[:, :2])).mean(), abs=1e-5
    )


def test_a_constant_factor_scores_zero_with_a_warning(rng):
    z = rng.normal(size=(400, 4))
    z_hat = z + rng.normal(size=(400, 4))
    expected = r2_oracle(z[:, :3], z_hat)
    z[:, 3] = 0.1
    with pytest.warns(UserWarning, match=r"z is constant in columns \[3\]"):
        assert float(r2(z, z_hat)) == pytest.approx(expected.sum() / 4, abs=1e-6)
    with pytest.warns(UserWarning, match=r"z is constant in columns \[3\]"):
        assert float(r(z, z_hat)) == pytest.approx(
            np.sqrt(expected).sum() / 4, abs=1e-6
        )
    with pytest.warns(UserWarning, match=r"z is constant in columns \[3\]"):
        block = float(block_r2(z, z_hat, np.eye(4)))
    assert block == pytest.approx(
        sum(block_r2_oracle(z[:, [i]], z_hat[:, [i]], [[0]])[0] for i in range(3)) / 4,
        abs=1e-5,
    )
    with pytest.warns(UserWarning, match=r"z is constant in columns \[3\]") as seen:
        own = float(r_con(z, z_hat, np.eye(4)))
    assert len(seen) == 1
    correlations = np.corrcoef(z[:, :3], z_hat[:, :3], rowvar=False)[:3, 3:]
    assert own == pytest.approx(np.diag(correlations).sum() / 4, abs=1e-6)


def test_seed_axis_jit_and_vmap_equal_a_loop(rng):
    z = jnp.asarray(rng.normal(size=(400, 4)), jnp.float32)
    z_hat = z[None] + jnp.asarray(rng.normal(size=(3, 400, 4)), jnp.float32)
    loop = np.stack([scores(z, c) for c in z_hat], 1)
    assert len(set(loop.ravel().tolist())) == 12
    mapped = jax.jit(jax.vmap(scores, (None, 0), out_axes=1))
    for found in (scores(z, z_hat), mapped(z, z_hat)):
        np.testing.assert_allclose(found[:3], loop[:3], atol=1e-6)
        # Conjugate gradients stop at a residual of 1e-5.
        np.testing.assert_allclose(found[3], loop[3], atol=2e-5)


GOOD = np.arange(20.0).reshape(10, 2)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("z", "z_hat", "message"),
    [
        (GOOD[0], GOOD, r"z has shape \(2,\)"),
        (GOOD, GOOD[0], r"codes has shape \(2,\)"),
        (GOOD, GOOD[:9], "codes has 9 rows and z has 10"),
        (np.full((10, 2), np.nan), GOOD, r"z is NaN or infinite at z\[0, 0\]"),
    ],
)
def test_wrong_arguments_are_refused(z, z_hat, message):
    patterned = [lambda z, c, f=f: f(z, c, np.eye(2)) for f in (r_con, block_r2)]
    for score in (r, r2, *patterned):
        with pytest.raises(ValueError, match=message):
            score(z, z_hat)


@pytest.mark.usefixtures("unchecked")
def test_wrong_patterns_are_refused():
    for score in (r_con, block_r2):
        with pytest.raises(
            ValueError, match=r"pattern has shape \(3, 3\); .* \(2, 2\)"
        ):
            score(GOOD, GOOD, np.eye(3))
        with pytest.raises(ValueError, match="pattern holds other values than 0 and 1"):
            score(GOOD, GOOD, np.eye(2) / 2)


def r2_of_a_basis(z, codes):
    """R2 on the span of the codes, by singular vectors."""
    z, codes = z - z.mean(0), (codes - codes.mean(0)) / codes.std(0)
    u, s, _ = np.linalg.svd(codes, full_matrices=False)
    fit = u[:, s > 1e-7 * s[0]].T @ z
    return (fit**2).sum(0) / (z**2).sum(0)


class TestDependentCodes:
    def draw(self, rng):
        z = rng.normal(size=(400, 4))
        return z, z @ rng.normal(size=(4, 3)) + 0.5 * rng.normal(size=(400, 3))

    @pytest.mark.parametrize("width", [np.float32, np.float64])
    def test_exactly(self, rng, width):
        z, codes = self.draw(rng)
        expected = r2_of_a_basis(z, codes).mean()
        sums = codes @ rng.normal(size=(3, 20))
        for more in (codes, -2 * codes + 7, sums, np.zeros_like(codes)):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "codes is constant")
                found = float(r2(z, np.hstack([codes, more]).astype(width)))
            assert found == pytest.approx(expected, abs=1e-6)

    @pytest.mark.parametrize("apart", [1e-3, 1e-5, 5e-6])
    def test_nearly(self, rng, apart):
        # What is nearly the same still spans another direction, which matters here.
        z, codes = self.draw(rng)
        near = np.hstack([codes, codes + apart * z[:, :3]])
        expected = r2_of_a_basis(z, near)
        assert expected.mean() - r2_of_a_basis(z, codes).mean() > 0.1
        assert float(r2(z, near)) == pytest.approx(expected.mean(), abs=1e-6)
        assert float(r(z, near)) == pytest.approx(np.sqrt(expected).mean(), abs=1e-6)


def test_many_factors_and_codes_match_sklearn(rng):
    z = rng.normal(size=(1000, 40))
    codes = z @ rng.normal(size=(40, 150)) + 5 * rng.normal(size=(1000, 150))
    expected = LinearRegression().fit(codes, z)
    shares = 1 - ((z - expected.predict(codes)) ** 2).sum(0) / (
        (z - z.mean(0)) ** 2
    ).sum(0)
    assert float(r2(z, codes)) == pytest.approx(shares.mean(), abs=1e-6)
    assert float(jax.jit(r2)(z, codes)) == pytest.approx(shares.mean(), abs=1e-5)


def test_factors_of_each_seed(rng):
    z = rng.normal(size=(3, 200, 4)).astype(np.float32)
    codes = z + rng.normal(size=z.shape).astype(np.float32)
    for score in (r, r2, lambda z, c: r_con(z, c, np.triu(np.ones((4, 4), int)))):
        alone = [float(score(*pair)) for pair in zip(z, codes, strict=True)]
        np.testing.assert_allclose(score(z, codes), alone, atol=1e-6)
        np.testing.assert_allclose(jax.jit(score)(z, codes), alone, atol=1e-6)


class TestKernel:
    @pytest.mark.parametrize("key", [None, 5])
    def test_matches_sklearn(self, rng, key):
        z = rng.normal(size=(300, 4))
        codes = np.sinh(z) @ rng.normal(size=(4, 3))
        fit, judge = split_rows(300, key)
        scaled, seen = np.asarray(standardise(z)), np.asarray(standardise(codes))
        model = KernelRidge(kernel="rbf", alpha=0.1, gamma=1 / 3)
        expected = model.fit(seen[fit], scaled[fit]).score(seen[judge], scaled[judge])
        options = {"kind": "kernel", "key": key}
        assert float(r2(z, codes, **options)) == pytest.approx(expected, abs=1e-5)
        jitted = jax.jit(lambda z, c: r2(z, c, **options))
        assert float(jitted(z, codes)) == pytest.approx(expected, abs=2e-5)

    def test_bent_codes_count_and_useless_ones_do_not(self, rng):
        z, useless = rng.normal(size=(2, 2000, 3))
        bent = np.sinh(1.5 * z)
        assert float(r2(z, bent)) < 0.7
        assert float(r2(z, bent, kind="kernel")) > 0.9
        assert float(r2(z, useless, kind="kernel")) < 0
        assert float(r2(z, np.hstack([z, z]), kind="kernel")) > 0.97

    def test_factors_that_do_not_vary_among_the_rows_that_judge_count_0(self, rng):
        z, codes = rng.normal(size=(2, 400, 2))
        z[:, 1] = 0.3
        z[split_rows(400)[0][0], 1] = 1.0
        alone = float(r2(z[:, :1], codes, kind="kernel"))
        assert float(r2(z, codes, kind="kernel")) == pytest.approx(alone / 2, abs=1e-4)

    @pytest.mark.usefixtures("unchecked")
    def test_wrong_arguments_are_refused(self):
        with pytest.raises(ValueError, match="kind must be one of 'linear', 'kernel'"):
            r2(GOOD, GOOD, kind="rbf")
        with pytest.raises(ValueError, match="z has 3 rows; at least 4"):
            r2(GOOD[:3], GOOD[:3], kind="kernel")

"""Whether latents change enough between domains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.identifiability import (
    change_strength,
    gaussian_changes_ok,
    mixing_report,
)


def draw_domains(domains, n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-4, 4, (domains, n)), rng.uniform(0.3, 1.5, (domains, n))


class TestGaussianChanges:
    @pytest.mark.parametrize("size", [1, 2, 4])
    def test_one_domain_less_is_not_enough(self, size):
        means, stds = draw_domains(2 * size + 1, size)
        assert gaussian_changes_ok(means, stds)
        assert not gaussian_changes_ok(means[1:], stds[1:])

    def test_means_or_deviations_alone_are_not_enough(self):
        means, stds = draw_domains(20, 2)
        assert not gaussian_changes_ok(means, np.full_like(stds, 0.7))
        assert not gaussian_changes_ok(np.full_like(means, 3.0), stds)
        rounded = 0.7 * (1 + 1e-7 * means)  # equal but for float32
        assert not gaussian_changes_ok(means, rounded)

    def test_latents_that_change_together_are_not_enough(self):
        means, stds = draw_domains(20, 3)
        means[:, 2], stds[:, 2] = 5 * means[:, 0] + 1, 5 * stds[:, 0]
        assert not gaussian_changes_ok(means, stds)
        assert not gaussian_changes_ok(means, stds, [1, 0, 1])
        assert gaussian_changes_ok(means, stds, [1, 1, 0])
        assert gaussian_changes_ok(means, stds, np.array([False, True, True]))

    def test_blocks_need_fewer_domains(self):
        means, stds = draw_domains(5, 4)
        assert not gaussian_changes_ok(means, stds)
        for twins in mixing_report(np.kron(np.eye(2), np.ones((2, 2)))).twins:
            assert gaussian_changes_ok(means, stds, twins)

    def test_units_do_not_matter(self):
        means, stds = draw_domains(5, 2)
        for scale in (np.array([1e-4, 1e4]), np.array([-1e3, 1e3])):
            assert gaussian_changes_ok(means * scale + 7, stds * np.abs(scale))

    def test_wrong_arguments_are_refused(self):
        means, stds = draw_domains(5, 2)
        for m, s, block, message in [
            (means[0], stds[0], None, r"means has shape \(2,\) and stds \(2,\)"),
            (means, stds[1:], None, r"means has shape \(5, 2\) and stds \(4, 2\)"),
            (means * np.nan, stds, None, "means holds NaN or infinite values"),
            (means, stds - 1, None, "stds holds values that are not positive"),
            (means, stds, [0, 2], r"block is \[0, 2\]; it must be \[2\] of 0/1"),
            (means, stds, [1, 1, 0], r"block is \[1, 1, 0\]; it must be \[2\]"),
            (means, stds, [0, 0], "with one entry per latent and at least one 1"),
        ]:
            with pytest.raises(ValueError, match=message):
                gaussian_changes_ok(m, s, block)


class TestChangeStrength:
    def test_gaussians(self):
        means, stds = draw_domains(7, 3)
        z = np.random.default_rng(1).normal(size=(9, 3)) * 2

        def log_prob(z, u):
            m, s = jnp.asarray(means)[u], jnp.asarray(stds)[u]
            return jax.scipy.stats.norm.logpdf(z, m, s)

        # eta'' = -1 / s^2 and eta' = (m - z) / s^2, by hand, in units of std z.
        p = (z.std(0) / stds) ** 2
        expected = []
        for sample in z:
            matrix = np.hstack([-p, p * (means - sample) / z.std(0)])
            values = np.linalg.svd(matrix[1:] - matrix[0], compute_uv=False)
            expected.append(values[-1] / values[0])
        found = change_strength(log_prob, z, 7)
        assert min(expected) > 1e-3
        np.testing.assert_allclose(found, expected, rtol=1e-3)
        summed = change_strength(lambda z, u: log_prob(z, u).sum(), z, 7)
        np.testing.assert_allclose(summed, found, rtol=1e-5)
        np.testing.assert_array_equal(change_strength(log_prob, z, 6), 0)
        assert (change_strength(log_prob, z, 5, [1, 0, 1]) > 1e-3).all()

    @pytest.mark.parametrize("curved", [False, True])
    def test_means_that_change(self, curved):
        # log p = -z^2 / 2 + a_u z (+ b_u z^4): eta'' differs only with b.
        a, b = (jnp.asarray(t, jnp.float32) for t in draw_domains(5, 2))
        z = np.random.default_rng(1).uniform(0.5, 1.5, (6, 2))

        def log_prob(z, u):
            return -(z**2) / 2 + a[u] * z - curved * b[u] * z**4

        strength = change_strength(log_prob, z, 5)
        assert (strength > 1e-3).all() == curved
        assert curved or (strength < 1e-6).all()

    def test_wrong_arguments_are_refused(self):
        z = np.ones((4, 2))

        def dependent(z, u):
            return -((z[0] - u * z[1]) ** 2)

        def singular(z, u):
            return jnp.log(z - z) * u

        for log_prob, samples, domains, message in [
            (dependent, z[0], 3, r"z has shape \(2,\); it must be \[b, z\]"),
            (dependent, z, 0, "domains is 0; it must be at least 1"),
            (dependent, z, 3, "log_prob has mixed derivatives"),
            (singular, z, 3, "log_prob has derivatives that are not finite"),
        ]:
            with pytest.raises(ValueError, match=message):
                change_strength(log_prob, samples, domains)

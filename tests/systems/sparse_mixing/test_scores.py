"""The report of a model that is right, and of one that is not."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.systems.sparse_mixing import model as cgvae
from jaxdis.systems.sparse_mixing import scores
from jaxdis.systems.sparse_mixing.config import Config
from jaxdis.types import Rows, Spec, Truth

A = np.array([[2.0, 0.0], [0.5, 1.0], [0.0, -1.0]])  # x = A z
CODES = np.array([[0.0, -1.0], [3.0, 0.0]])  # codes 3 z_2 and -z_1, from z
SHIFT = np.array([0.5, -1.0])
CONFIG = Config(encoder=(), decoder=(), bins=3, embedding=2)
SPEC = Spec(
    (3,), domains=("a", "b", "c"), z_dim=2, truth=Truth(mask=(A != 0).astype(int))
)
MODEL = cgvae.build(CONFIG, SPEC)


def reporting(spec):
    known = scores.theory(spec)
    return jax.jit(
        lambda params, rows: scores.report(
            MODEL, known, params, rows, 1.0, jax.random.key(0)
        )
    )


@pytest.fixture(scope="module")
def solved():
    """A model that inverts `x = A z`, and rows of it."""
    z = np.random.default_rng(0).normal(size=(900, 2)) * [[1.0, 2.0]]
    rows = Rows(jnp.float32(z @ A.T), u=jnp.arange(900) % 3, z=jnp.float32(z))
    encoder, back = np.zeros((3, 4)), np.linalg.inv(CODES) @ A.T
    encoder[:, :2] = np.linalg.pinv(A).T @ CODES

    def dense(kernel, bias):
        layer = {"kernel": jnp.float32(kernel), "bias": jnp.float32(bias)}
        return {"params": {"Dense_0": layer}}

    init = jax.jit(partial(cgvae.init_params, MODEL))
    params = init(jax.random.key(1))._replace(
        encoder=dense(encoder, np.r_[SHIFT, -40, -40]),
        decoder=dense(back, -SHIFT @ back),
    )
    return params, rows, z


@pytest.fixture(scope="module")
def report():
    return reporting(SPEC)


def test_a_model_that_is_right_scores_as_such(solved, report):
    params, rows, z = solved
    figures = report(params, rows)
    for name in ("mcc", "mcc_spearman", "r2"):
        np.testing.assert_allclose(figures[name], 1.0, atol=1e-4)
    assert figures["wrong_entries"] == 0
    assert figures["dead"] == 0
    assert figures["reconstruction"] < 0.02  # noise of the codes, e^-5 wide
    # A z, column by column as wide as z.
    np.testing.assert_allclose(figures["jacobian"], np.abs(A) * z.std(0), rtol=1e-3)
    np.testing.assert_allclose(figures["correlation"].diagonal(), 1.0, atol=1e-4)
    np.testing.assert_allclose(
        figures["latents"], z[:450] * [1, 3] + [1, 0.5], atol=1e-3
    )
    np.testing.assert_allclose(figures["true_latents"], z[:450], atol=1e-5)
    np.testing.assert_array_equal(figures["domains"], np.arange(450) % 3)
    # x_1 is z_1, x_3 is z_2.
    np.testing.assert_allclose(figures["mcc_observed"], 1.0, atol=1e-4)
    np.testing.assert_allclose(
        figures["latent_std"], (z.std(0) * [1, 3]).mean(), rtol=1e-3
    )
    plain = (np.abs(A) / [1, 3]).sum()
    np.testing.assert_allclose(figures["jac_l1"], plain, rtol=1e-3)
    scaled = (np.abs(A) * z.std(0)).sum()
    np.testing.assert_allclose(figures["jac_std_l1"], scaled, rtol=1e-3)
    assert set(figures) == declared(SPEC)
    # Rows that have nothing to do with their latents.
    noise = rows._replace(x=rows.x[::-1])
    assert report(params, noise)["mcc"] < 0.2


def declared(spec):
    return {s.name for s in scores.scores(CONFIG, spec)} | set(scores.ARRAYS)


def test_a_wrong_mask_and_the_block_that_it_leaves(solved):
    """Two latents seen by all need five domains, not three: their block is scored."""
    params, rows, _ = solved
    spec = SPEC._replace(truth=Truth(mask=np.ones((3, 2), int)))
    figures = reporting(spec)(params, rows)
    assert figures["wrong_entries"] == 2
    assert figures["block_r2"] > 0.98
    assert set(figures) == declared(spec)
    assert "block_r2" not in declared(SPEC)
    enough = spec._replace(domains=tuple("abcde"))
    assert "block_r2" not in declared(enough)


def test_unknown_latents_and_mask(solved):
    params, rows, _ = solved
    spec = SPEC._replace(z_dim=0, truth=Truth())
    figures = reporting(spec)(params, rows._replace(z=None))
    assert set(figures) == declared(spec) - {"correlation", "true_latents"}
    assert not {"mcc", "wrong_entries", "r2"} & set(figures)
    assert all(np.isfinite(v).all() for v in figures.values())
    assert figures["latents"].shape == (450, 2)


def test_a_mask_without_latents_is_not_scored(solved):
    """Codes have no order in which they could be compared with it."""
    params, rows, _ = solved
    spec = SPEC._replace(z_dim=0)
    figures = reporting(spec)(params, rows._replace(z=None))
    assert "wrong_entries" not in figures
    assert set(figures) == declared(spec) - {"correlation", "true_latents"}


def test_large_observations_are_measured_in_blocks(solved, report, monkeypatch):
    """Blocks of 27 of the 900 rows, and the Jacobian of the first block alone.

    That of this decoder is the same everywhere.
    """
    params, rows, _ = solved
    whole = report(params, rows)
    monkeypatch.setattr(scores, "AT_ONCE", 27 * 3)
    found = reporting(SPEC)(params, rows)
    assert set(found) == set(whole)
    for name, value in whole.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-5)


def test_images_have_a_report():
    """Bytes are seen in [0, 1]; the Jacobian has a row for every number of an image."""
    spec = Spec((4, 4, 1), domains=("a", "b"))
    model = cgvae.build(Config(z_dim=2, channels=1, bins=3, embedding=2), spec)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1), np.uint8)
    u = jnp.arange(20) % 2
    known = scores.theory(spec)

    @jax.jit
    def measure(x, key):
        params = cgvae.init_params(model, key)
        rows = Rows(x, u=u)
        found = scores.report(model, known, params, rows, 1.0, key)
        return found, cgvae.decode(model, params, jnp.zeros((20, 2)))

    key = jax.random.key(0)
    found, flat = measure(jnp.asarray(pixels), key)
    assert set(found) == {s.name for s in scores.scores(model.config, spec)} | {
        "jacobian",
        "latents",
        "domains",
    }
    assert found["jacobian"].shape == (16, 2)
    # At its start a decoder says much the same of all codes.
    error = ((pixels / 255 - np.asarray(flat)) ** 2).sum((1, 2, 3)).mean()
    np.testing.assert_allclose(found["reconstruction"], error, rtol=0.05)
    same, _ = measure(jnp.asarray(pixels / 255, float), key)
    for name, value in found.items():
        np.testing.assert_allclose(same[name], value, rtol=1e-4, atol=1e-5)

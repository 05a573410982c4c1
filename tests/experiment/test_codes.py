"""What codes say by themselves, of a system that is a matrix."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from jaxdis import experiment, metrics
from jaxdis.experiment import codes
from jaxdis.types import System

CODES, SEEDS = 5, 3


def unused(*args):
    raise AssertionError


def encode(params, x):
    return x[..., :CODES] @ params["in"]


def decode(params, z):
    return z @ params["out"]


SYSTEM = System(unused, unused, encode, decode, unused)


@pytest.fixture(scope="module")
def made():
    """Two points and three seeds of data of vectors, and another system for them."""
    plan = experiment.plan(
        "mechanism_sparsity/quickstart",
        seeds=SEEDS,
        data={"samples": 6_400, "worlds": 1},
        hyper={"bound_a": [10, 25]},
    )
    return experiment.prepare(plan)._replace(system=SYSTEM)


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    rows = 2 * SEEDS
    orders = np.stack([np.eye(CODES)[rng.permutation(CODES)] for _ in range(rows)])
    noise = 0.3 * rng.normal(size=(rows, CODES, CODES))
    noise[:SEEDS] = 0  # the seeds of the first point agree
    return {
        "in": jnp.asarray(orders + noise, jnp.float32),
        "out": jnp.asarray(rng.normal(size=(rows, CODES, 10)), jnp.float32),
    }


def rows_of(made, count=None):
    return np.asarray(made.splits.test.x)[:count]


def test_all_rows_are_encoded_in_blocks_of_one_size(made, params, monkeypatch):
    monkeypatch.setattr(codes, "BLOCK", 70)
    x = rows_of(made, codes.ROWS)
    assert len(x) % 70  # the last block overlaps the one before
    found = codes.encode_rows(made, params)
    assert found.shape == (2, SEEDS, len(x), CODES)
    expected = np.einsum("nk,rkl->rnl", x[:, :CODES], np.asarray(params["in"]))
    np.testing.assert_allclose(
        found.reshape(expected.shape), expected, rtol=1e-5, atol=1e-5
    )


def test_no_codes_without_an_encoder_or_of_other_rows(made, params):
    without = made._replace(system=SYSTEM._replace(encode=None))
    assert codes.encode_rows(without, params) is None
    other = made._replace(world=jnp.zeros(2 * SEEDS, int))
    assert codes.encode_rows(other, params) is None


def test_agreement_and_match(made, params):
    encoded = codes.encode_rows(made, params).copy()
    encoded[1, 0, :, 2] = 1.0
    failed = np.zeros((2, SEEDS), bool)
    related = codes.relate(encoded, failed)
    np.testing.assert_allclose(related.udr[0], 1.0, atol=1e-5)
    assert related.udr[1] == pytest.approx(float(metrics.udr(encoded[1])), abs=1e-6)
    np.testing.assert_array_equal(related.dead, [[0, 0, 0], [1, 0, 0]])
    best = np.argmax(related.seeds[1])
    for seed in range(SEEDS):
        others = np.delete(related.pairs[1, seed], seed)
        np.testing.assert_allclose(related.seeds[1, seed], np.median(others))
        with np.errstate(invalid="ignore"):  # of the dead code
            r = np.corrcoef(encoded[1, best].T, encoded[1, seed].T)
        r = np.nan_to_num(np.abs(r[:CODES, CODES:]))
        chosen = r[np.arange(CODES), related.order[1, seed]].sum()
        assert chosen == pytest.approx(r[linear_sum_assignment(-r)].sum(), abs=1e-4)
        assert sorted(related.order[1, seed]) == list(range(CODES))


def test_failed_seeds_are_left_out(made, params):
    encoded = codes.encode_rows(made, params)
    failed = np.array([[False, True, False], [True, True, False]])
    related = codes.relate(encoded, failed)
    assert np.isnan(related.pairs[0, 1]).all()
    assert np.isnan(related.pairs[0, :, 1]).all()
    np.testing.assert_allclose(related.seeds[0, [0, 2]], 1.0, atol=1e-5)
    assert np.isnan(related.seeds[0, 1])
    assert np.isnan(related.udr[1])  # a single seed is left
    np.testing.assert_array_equal(related.order[1, :2], -1)
    np.testing.assert_array_equal(related.order[1, 2], np.arange(CODES))


def test_seeds_whose_codes_are_not_finite_are_left_out(made, params):
    """They need not have failed: what overflows on held-out rows was finite before."""
    encoded = codes.encode_rows(made, params).copy()
    encoded[0, 1, 7, 2] = np.inf
    related = codes.relate(encoded, np.zeros((2, SEEDS), bool))
    assert np.isnan(related.pairs[0, 1]).all()
    np.testing.assert_allclose(related.udr[0], 1.0, atol=1e-5)
    assert np.isnan(related.seeds[0]).tolist() == [False, True, False]


def test_effects_of_a_linear_decoder(made, params):
    """A code that moves by 4 deviations moves x_j by 4 std |D_ij|."""
    encoded = codes.encode_rows(made, params)
    failed = np.zeros((2, SEEDS), bool)
    agreement = np.array([[0.1, 0.3, 0.2], [0.9, 0.3, 0.2]])
    found = codes.draw_effects(made, params, encoded, failed, agreement)
    std_x = rows_of(made, codes.ROWS).std(0)
    for point, seed in enumerate((1, 0)):
        out = np.asarray(params["out"])[point * SEEDS + seed]
        std = encoded[point, seed].std(0)
        expected = 4 * std[:, None] * np.abs(out) / std_x
        np.testing.assert_allclose(found["code_effects"][point], expected, rtol=1e-3)


def test_no_effects_without_a_decoder_or_where_a_point_is_lost(made, params):
    encoded = codes.encode_rows(made, params)
    failed, agreement = np.zeros((2, SEEDS), bool), np.ones((2, SEEDS))
    without = made._replace(system=SYSTEM._replace(decode=None))
    assert codes.draw_effects(without, params, encoded, failed, agreement) == {}
    failed[1] = True
    assert codes.draw_effects(made, params, encoded, failed, agreement) == {}
    smaller = made._replace(system=SYSTEM._replace(decode=lambda p, z: z))
    assert codes.draw_effects(smaller, params, encoded, ~failed, agreement) == {}


def test_images_of_codes_that_change_them_most_come_first(made):
    images = made._replace(spec=made.spec._replace(shape=(4, 4, 1)))
    gain = np.array([0.0, 0.3, 0.1, 0.2, 0.0])

    def to_images(params, z):
        grey = 0.5 + z @ params["gain"]
        return jnp.broadcast_to(grey[..., None, None, None], (*grey.shape, 4, 4, 1))

    system = SYSTEM._replace(decode=to_images)
    params = {"gain": jnp.asarray(np.tile(gain, (2, 1)), jnp.float32)}
    encoded = (
        np.random.default_rng(0).normal(size=(2, 1, 400, CODES)).astype(np.float32)
    )
    found = codes.draw_effects(
        images._replace(system=system), params, encoded,
        np.zeros((2, 1), bool), np.full((2, 1), np.nan),
    )  # fmt: skip
    assert found["code_images"].shape == (2, CODES, 7, 4, 4, 1)
    assert found["code_images"].dtype == np.uint8
    for point in range(2):
        assert found["code_walked"][point].tolist()[:3] == [1, 3, 2]
        start, code = encoded[point, 0, 0], encoded[point, 0, :, 1]
        moved = start.copy()
        moved[1] = code.mean() + 2 * code.std()
        last = np.clip(0.5 + moved @ gain, 0, 1) * 255
        assert abs(float(found["code_images"][point, 0, -1, 0, 0, 0]) - last) <= 1


def test_many_seeds_are_compared_with_some(monkeypatch):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(1, 9, 50, 3)).astype(np.float32)
    failed = np.zeros((1, 9), bool)
    failed[0, 4] = True
    every = codes.relate(z, failed).pairs[0]
    monkeypatch.setattr(codes, "COMPARED", 4)
    some = codes.relate(z, failed)
    known = np.isfinite(some.pairs[0])
    np.testing.assert_allclose(some.pairs[0][known], every[known], rtol=1e-6)
    assert (known.sum(1) == np.where(failed[0], 0, 4)).all()
    assert np.isfinite(some.seeds[0]).tolist() == (~failed[0]).tolist()

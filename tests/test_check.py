"""Wrong values become one sentence that names the argument."""

import re

import jax
import numpy as np
import pytest

from jaxdis import check, sweep


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1e39, "rate must be at most 3.4e+38, got 1e+39, which overflows float32"),
        (1e-39, "rate must be 0 or at least 1.2e-38, got 1e-39, which is 0 in float32"),
        (float("nan"), "rate must be finite, got nan"),
        (float("inf"), "rate must be finite, got inf"),
    ],
)
def test_numbers_that_float32_does_not_hold(value, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check.float32("rate", value)
    with pytest.raises(ValueError, match=re.escape(message)):
        check.finite("rate", [1.0, value])


@pytest.mark.parametrize("value", [0.0, 3e38, 1.2e-38, -1.0])
def test_numbers_that_float32_holds(value):
    check.float32("rate", value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "at least 1, got 0"),
        (2**31, "at most 2147483647, got 2147483648"),
        (2.5, "a whole number, got 2.5"),
        (True, "a whole number, got True"),
    ],
)
def test_counts_are_whole_and_of_32_bits(value, message):
    with pytest.raises(ValueError, match=f"steps must be {message}"):
        check.count("steps", value)
    check.count("steps", np.int64(2**31 - 1))


@pytest.mark.parametrize(
    ("first", "seeds"), [(-1, 3), (2**32, 1), (2**32 - 2, 3), (10**30, 1)]
)
def test_seeds_beyond_32_bits_are_refused(first, seeds):
    with pytest.raises(ValueError, match="first_seed must be at least 0"):
        sweep.seed_keys(seeds, first)


@pytest.mark.parametrize("first", [0, 2**31 - 1, 2**32 - 2])
@pytest.mark.parametrize("x64", [False, True])
def test_keys_are_those_of_their_numbers(first, x64):
    with jax.enable_x64(x64):
        keys = jax.random.key_data(sweep.seed_keys(2, first))
        assert keys.tolist() == [[0, first], [0, first + 1]]


def test_latents_are_no_more_than_what_is_observed():
    check.enough_observed(3, 3)
    with pytest.raises(ValueError, match=r"data\.z_dim must not exceed.*got 4 > 3"):
        check.enough_observed(4, 3)


def test_columns_are_named_once():
    check.distinct("data.x", ["a", "b"])
    with pytest.raises(ValueError, match=r"data\.x must name each column once.*'b'"):
        check.distinct("data.x", ["a", "b", "b"])

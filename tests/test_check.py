"""Wrong values become one sentence that names the argument."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

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


@dataclasses.dataclass(frozen=True)
class Fields:
    """One field of each kind that configs and data sets have."""

    size: int = 0
    share: float = 0.0
    on: bool = False
    name: str = ""
    limit: float | None = None
    widths: tuple[int, ...] = ()
    columns: str | tuple[str, ...] | None = None
    word: Literal["one", "two"] = "one"
    maybe: Literal["one"] | None = None
    words: tuple[Literal["one", "two"], ...] = ()
    pair: tuple[str, float] = ("", 0.0)
    free: Callable[[int], int] = abs


RIGHT = [
    {"size": np.int32(3), "share": 1, "limit": None, "on": np.True_},
    {"widths": [3, 4], "columns": "x*", "name": Path("x")},
    {"columns": ("a", "b"), "free": max, "share": np.float32(0.1)},
    {"words": ["three"], "pair": ("a", 0.5)},
    {"word": "two", "limit": 2.5, "maybe": None},
]
WRONG = [
    ({"size": 1.5}, "config.size must be a whole number, got 1.5"),
    ({"size": True}, "config.size must be a whole number, got True"),
    ({"share": "much"}, "config.share must be a number, got 'much'"),
    ({"on": 1}, "config.on must be true or false, got 1"),
    ({"name": 3}, "config.name must be a word, got 3"),
    ({"limit": "x"}, "config.limit must be a number or None, got 'x'"),
    ({"widths": 8}, "config.widths must be a list of whole numbers, got 8"),
    ({"widths": ["8"]}, "a list of whole numbers, got ['8']"),
    ({"word": 3}, "config.word must be one of 'one', 'two', got 3"),
    ({"maybe": "two"}, "config.maybe must be one of None, 'one', got 'two'"),
    ({"words": "one"}, "config.words must be a list, got 'one'"),
    ({"pair": 3}, "config.pair must be a list of words or numbers, got 3"),
    ({"columns": [3]}, "a word or a list of words or None, got [3]"),
]


@pytest.mark.parametrize("values", RIGHT)
def test_values_of_the_types_of_fields(values):
    check.fields("config", Fields, values)


@pytest.mark.parametrize(("values", "message"), WRONG)
def test_values_of_other_types_are_named(values, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check.fields("config", Fields, values)

"""Digits labelled with attributes."""

import numpy as np
from sklearn.datasets import load_digits

from jaxdis.data.digits import ATTRIBUTES, Digits


def test_attributes():
    has = {c: {name for name, on in ATTRIBUTES.items() if c in on} for c in range(10)}
    assert has[8] >= {"even", "above 4", "closed loop", "above 7", "Fibonacci"}
    assert not has[8] & {"prime", "square", "straight stroke", "2 to 6", "below 3"}
    assert has[7] >= {"above 4", "prime", "straight stroke", "horizontal stroke"}
    assert not has[7] & {"even", "closed loop", "above 7"}
    numbers = {
        "prime": {2, 3, 5, 7},
        "square": {i * i for i in range(4)},
        "power of 2": {2**i for i in range(4)},
        "multiple of 3": set(range(0, 10, 3)),
        "above 7": {8, 9},
    }
    assert {name: set(ATTRIBUTES[name]) for name in numbers} == numbers
    assert len(set(ATTRIBUTES.values())) == len(ATTRIBUTES)


def test_rows_have_the_attributes_of_their_digit():
    source = load_digits()
    digit = {
        (x / 16).astype(np.float32).tobytes(): c
        for x, c in zip(source.data, source.target, strict=True)
    }
    spec, splits = Digits().spec(), Digits().load()
    assert [label.name for label in spec.labels] == list(ATTRIBUTES)
    assert {label.classes for label in spec.labels} == {2}
    seen = []
    for rows in splits[:3]:
        images = [x.tobytes() for x in np.asarray(rows.x)]
        wanted = [[digit[x] in on for on in ATTRIBUTES.values()] for x in images]
        np.testing.assert_array_equal(rows.y, wanted)
        seen += images
    assert [len(rows.x) for rows in splits[:3]] == [1079, 359, 359]
    assert set(seen) == set(digit)
    other = Digits(seed=1).load()
    assert not np.array_equal(other.test.x, splits.test.x)

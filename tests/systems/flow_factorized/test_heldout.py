import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.data.own import OwnRows
from jaxdis.systems.flow_factorized import METHOD
from jaxdis.types import Label, Names, Rows, Splits
from tests.systems.flow_factorized.common import (
    NAMES,
    SPEC,
    TINY,
    batches,
    splits,
    variant,
)

PLAIN = variant(supervision="none")
X = np.random.default_rng(0).integers(0, 256, (40, 5, 8, 8, 1)).astype(np.uint8)
K = np.arange(40) % 2


def test_controls_become_fields():
    made, controls = batches(TINY), splits().controls
    for rows, i in ((made.valid, 0), (made.test, 1)):
        assert rows.new_class is rows.longer is rows.fitting is None
        superposed = controls["superposed"][i]
        np.testing.assert_array_equal(rows.other, superposed.k[:, 1])
        np.testing.assert_array_equal(rows.superposed, superposed.x)
        np.testing.assert_array_equal(rows.switched, controls["switched"][i].x)
    batch = made.sample(jax.random.key(0))
    assert batch.x.shape == (6, 5, 8, 8, 1)
    assert batch.k.shape == (6,)


def test_a_plain_vae_has_sequences_to_fit():
    rows = batches(PLAIN).test
    np.testing.assert_array_equal(rows.fitting.x, splits().controls["fitting"][1].x)
    # Where the data bring none, they are drawn.
    drawn = METHOD.batches(PLAIN, SPEC, splits()._replace(controls={})).valid.fitting
    assert drawn.x.shape == (960, 5, 8, 8, 1)
    assert set(drawn.k.tolist()) == {0, 1}


def test_classes_left_out_and_longer_sequences():
    spec = SPEC._replace(labels=(Label("size"), Label("new_class", 2)))
    given = splits()
    y = jnp.stack([jnp.ones(12, int), jnp.arange(12) % 2], 1)
    longer = given.test._replace(x=given.test.x[:, :2])
    rows = METHOD.batches(
        TINY,
        spec,
        given._replace(
            test=given.test._replace(y=y),
            controls={"longer": (given.valid, longer)},
        ),
    )
    np.testing.assert_array_equal(rows.test.new_class, np.arange(12) % 2 == 1)
    np.testing.assert_array_equal(rows.test.longer, longer.x)
    assert rows.test.other is rows.test.superposed is rows.test.switched is None
    assert rows.valid.new_class is None


@pytest.mark.parametrize(("k", "names"), [(K, NAMES), (None, ())])
def test_sequences_of_ones_own(k, names):
    data = OwnRows(Rows(X, k=k, names=Names(k=names)), held_out=0.2)
    config = TINY if names else PLAIN
    made = METHOD.batches(config, data.spec(), data.load())
    assert made.sample(jax.random.key(0)).x.dtype == jnp.uint8
    # Bytes are numbers in [0, 1] where they are scored.
    assert made.test.x.dtype == jnp.float32
    assert 0.9 < made.test.x.max() <= 1
    assert made.test.k.shape == (8,)
    if k is None:
        assert not made.test.k.any()
        assert not made.test.fitting.k.any()


def test_few_rows_are_scored_between_chunks():
    many = Rows(jnp.zeros((2_100, 5, 8, 8, 1)), k=jnp.zeros(2_100, int))
    made = METHOD.batches(TINY, SPEC, Splits(many, many, many))
    assert len(made.valid.x) == len(made.valid.k) == 2_000
    assert len(made.test.x) == 2_100


def test_controls_with_other_rows_are_named():
    given = splits()
    short = given.test._replace(x=given.test.x[:3])
    wrong = given._replace(controls={"longer": (given.valid, short)})
    with pytest.raises(ValueError, match=r"controls\['longer'\] must have .* 12 .* 3"):
        METHOD.batches(TINY, SPEC, wrong)


def test_rows_without_the_transformation_are_named():
    given = splits()
    wrong = given._replace(test=given.test._replace(k=None))
    with pytest.raises(ValueError, match=r"data\.k must hold .* name right, down"):
        METHOD.batches(TINY, SPEC, wrong)


def test_frames_with_channels_first_are_told_what_to_transpose():
    frames = np.moveaxis(np.repeat(X, 3, -1), -1, 2)
    with pytest.raises(ValueError, match=r"data\.x.*(moveaxis|transpose)"):
        OwnRows(Rows(frames)).spec()


def test_a_batch_of_more_than_all_sequences_is_named():
    data = OwnRows(Rows(X[:5]), held_out=0.2)
    with pytest.raises(ValueError, match=r"config\.batch to 3 or less"):
        METHOD.batches(PLAIN, data.spec(), data.load())

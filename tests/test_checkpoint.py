"""Checkpoints keep what they promise and come back exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import checkpoint


def tree(value: float) -> dict:
    return {
        "w": jnp.full((2, 3), value),
        "count": (jnp.asarray(7, jnp.int32), None),
    }


@pytest.fixture
def manager(tmp_path):
    with checkpoint.open_manager(tmp_path / "checkpoints") as manager:
        yield manager


def test_last_two_and_best_are_kept(manager):
    for step, score in ((10, 0.1), (20, 0.9), (30, 0.2), (40, 0.3)):
        checkpoint.save(manager, step, tree(step), score)
    assert sorted(manager.all_steps()) == [20, 30, 40]


def test_round_trip_is_exact(manager):
    saved = tree(1 / 3)
    checkpoint.save(manager, 5, saved, 0.0)
    like = jax.eval_shape(lambda: saved)
    step, restored = checkpoint.restore(manager, like, pytest.fail)
    assert step == 5
    assert jax.tree.structure(restored) == jax.tree.structure(saved)
    for a, b in zip(jax.tree.leaves(saved), jax.tree.leaves(restored), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def test_nothing_saved_is_none(manager):
    assert checkpoint.restore(manager, tree(0.0), pytest.fail) is None


@pytest.mark.parametrize("how", ["truncate", "delete"])
def test_damaged_checkpoint_is_reported_and_the_one_before_used(manager, tmp_path, how):
    checkpoint.save(manager, 1, tree(1.0), 0.0)
    checkpoint.save(manager, 2, tree(2.0), 0.0)
    for path in (tmp_path / "checkpoints" / "2").rglob("*"):
        if path.is_file():
            path.write_bytes(b"") if how == "truncate" else path.unlink()
    warnings = []
    with checkpoint.open_manager(tmp_path / "checkpoints") as again:
        step, restored = checkpoint.restore(again, tree(0.0), warnings.append)
        assert step == 1
        np.testing.assert_array_equal(restored["w"], tree(1.0)["w"])
        checkpoint.save(again, 2, tree(3.0), 0.0)  # the way is free again
        step, restored = checkpoint.restore(again, tree(0.0), pytest.fail)
    assert (step, float(restored["w"][0, 0])) == (2, 3.0)
    assert len(warnings) == 1
    assert "checkpoint 2 cannot be read" in warnings[0]


def test_a_score_that_is_not_known_is_never_the_best(manager):
    for step, score in ((10, np.nan), (20, -5.0), (30, np.nan), (40, np.nan)):
        checkpoint.save(manager, step, tree(step), score)
    assert sorted(manager.all_steps()) == [20, 30, 40]
    worth = {10: 3.0, 20: -5.0, 30: np.nan}
    assert checkpoint.choose(manager, "best", worth) == 20
    assert checkpoint.choose(manager, "best", {}) == 40
    assert checkpoint.choose(manager, "last", worth) == 40
    assert checkpoint.choose(manager, 30, worth) == 30
    with pytest.raises(
        ValueError, match="steps that are kept, 20, 30, 40; got 'first'"
    ):
        checkpoint.choose(manager, "first", worth)


def test_a_part_is_read_onto_one_device(manager):
    rows = {"state": {"params": tree(1 / 3), "opt_state": tree(2.0)}, "skipped": 1}
    mesh = jax.make_mesh((2,), ("seed",))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("seed"))
    rows["state"]["params"]["w"] = jax.device_put(jnp.ones((4, 3)), spread)
    checkpoint.save(manager, 1, jax.tree.map(jnp.asarray, rows), 0.0)
    like = jax.eval_shape(lambda: {"state": {"params": rows["state"]["params"]}})
    found = checkpoint.read(manager, 1, like)["state"]["params"]
    np.testing.assert_array_equal(found["w"], np.ones((4, 3)))
    assert len(found["w"].sharding.device_set) == 1
    for other in ({"w": like["state"]["params"]["w"]}, tree(0.0)):
        with pytest.raises(ValueError, match="do not fit this model"):
            checkpoint.read(manager, 1, {"state": {"params": other}})

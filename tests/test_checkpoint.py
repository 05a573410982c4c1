"""Checkpoints keep what they promise and come back exactly."""

import errno
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import archive, checkpoint


def tree(value: float) -> dict:
    return {
        "w": jnp.full((2, 3), value),
        "count": (jnp.asarray(7, jnp.int32), None),
    }


@pytest.fixture(params=["plain", "lr[0.01] é *?"])
def there(tmp_path, request):
    return tmp_path / request.param / "checkpoints"


def names(there):
    return sorted(path.name for path in there.iterdir())


def test_last_two_and_best_are_kept(there):
    for step, score in ((10, 0.1), (20, 0.9), (30, 0.2), (40, 0.3)):
        checkpoint.save(there, step, tree(step), score=score)
    assert list(checkpoint.steps(there)) == [20, 30, 40]
    assert names(there) == ["20", "30", "40"]


@pytest.mark.parametrize("errors", [[64, 16, 30, 31, 32], [1, 16, 30, 31, 32]])
def test_the_best_of_an_error_is_the_least(there, errors):
    for step, error in enumerate(errors, 1):
        checkpoint.save(there, step, tree(step), score=-error)
    best = 1 + int(np.argmin(errors))
    assert list(checkpoint.steps(there)) == [best, 4, 5]


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "bfloat16", "float8_e4m3fn", "int4", "bool"]
)
def test_arrays_come_back_bit_for_bit(there, dtype):
    bits = np.random.default_rng(0).integers(0, 256, 64, np.uint8)
    wanted = jnp.dtype(dtype)
    kept = bits.astype(wanted) if dtype in ("int4", "bool") else bits.view(wanted)
    checkpoint.save(there, 5, {"a": kept}, record={"parts": [1.5, "é"]})
    like = {"a": np.empty(kept.shape, wanted)}
    found = checkpoint.restore(there, like, pytest.fail)
    assert (found.step, found.record) == (5, {"parts": [1.5, "é"]})
    assert found.tree["a"].dtype == kept.dtype
    assert found.tree["a"].tobytes() == kept.tobytes()


def test_structure_and_random_keys_come_back(there):
    saved = tree(1 / 3) | {"key": jax.random.key(3), "empty": ()}
    checkpoint.save(there, 5, {"rows": saved, "sums": {"loss": np.ones(2)}})
    like = jax.eval_shape(lambda: saved)
    found = checkpoint.restore(there, {"rows": like}, pytest.fail)
    assert jax.tree.structure(found.tree["rows"]) == jax.tree.structure(saved)
    chosen = jax.random.normal(found.tree["rows"]["key"])
    assert chosen == jax.random.normal(saved["key"])
    np.testing.assert_array_equal(found.rest["sums/loss"], np.ones(2))


def test_nothing_saved_is_none(there):
    assert checkpoint.restore(there, tree(0.0), pytest.fail) is None


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "flip":
        at = data.find(tree(2.0)["w"].tobytes())
        data[at + 3] ^= 4
    path.write_bytes(data[: {"flip": None, "half": len(data) // 2, "empty": 0}[how]])


@pytest.mark.parametrize("how", ["flip", "half", "empty"])
def test_damaged_checkpoint_is_moved_aside_and_the_one_before_used(there, how):
    checkpoint.save(there, 1, tree(1.0))
    checkpoint.save(there, 2, tree(2.0))
    damage(there / "2" / "state.npz", how)
    warnings = []
    found = checkpoint.restore(there, tree(0.0), warnings.append)
    assert found.step == 1
    np.testing.assert_array_equal(found.tree["w"], tree(1.0)["w"])
    assert names(there) == ["1", "2.damaged"]
    checkpoint.save(there, 2, tree(3.0))  # the way is free again
    found = checkpoint.restore(there, tree(0.0), pytest.fail)
    assert (found.step, float(found.tree["w"][0, 0])) == (2, 3.0)
    assert len(warnings) == 1
    assert "checkpoint 2 is damaged" in warnings[0]
    assert "2.damaged" in warnings[0]


def test_every_flipped_bit_is_noticed_or_harmless(there):
    """Of the bytes of a small file, one bit each in turn."""
    checkpoint.save(there, 1, {"w": np.arange(3.0)})
    path = there / "1" / "state.npz"
    good, noticed = path.read_bytes(), 0
    like = {"w": np.empty(3)}
    for at in range(0, len(good), 7):
        data = bytearray(good)
        data[at] ^= 1 << (at % 8)
        path.write_bytes(data)
        try:
            found = checkpoint.read(there, 1, {"w": like["w"]})
        except ValueError:
            noticed += 1
        else:
            np.testing.assert_array_equal(found["w"], np.arange(3.0))
    assert noticed > 50


@pytest.mark.parametrize("error", [MemoryError(), PermissionError(13, "no")])
def test_a_good_checkpoint_that_cannot_be_read_now_stays(there, monkeypatch, error):
    checkpoint.save(there, 1, tree(1.0))
    checkpoint.save(there, 2, tree(2.0))

    def fails(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(archive, "arrays_of", fails)
        with pytest.raises(type(error)):
            checkpoint.restore(there, tree(0.0), pytest.fail)
    assert names(there) == ["1", "2"]
    assert checkpoint.restore(there, tree(0.0), pytest.fail).step == 2


def test_a_random_key_that_is_not_there_is_another_model(there):
    checkpoint.save(there, 1, tree(1.0))
    like = jax.eval_shape(lambda: tree(0.0) | {"key": jax.random.key(0)})
    with pytest.raises(ValueError, match="key has shape None there"):
        checkpoint.restore(there, like, pytest.fail)
    assert names(there) == ["1"]


def test_when_all_are_damaged_nothing_is_lost(there):
    checkpoint.save(there, 1, tree(1.0))
    damage(there / "1" / "state.npz", "half")
    told = []
    with pytest.raises(ValueError, match=r"no checkpoint in .* 1.damaged are damaged"):
        checkpoint.restore(there, tree(0.0), told.append)
    assert names(there) == ["1.damaged"]


def test_what_is_no_checkpoint_is_left_alone(there):
    checkpoint.save(there, 1, tree(1.0))
    (there / "500").mkdir()
    (there / "notes").write_text("mine")
    assert checkpoint.restore(there, tree(0.0), pytest.fail).step == 1
    checkpoint.save(there, 500, tree(5.0))
    assert checkpoint.restore(there, tree(0.0), pytest.fail).step == 500
    assert (there / "notes").read_text() == "mine"


def test_another_version_and_another_model_are_no_damage(there):
    checkpoint.save(there, 1, tree(1.0))
    with pytest.raises(ValueError, match="do not fit this model: w has shape"):
        checkpoint.restore(there, tree(0.0) | {"w": np.empty(4)}, pytest.fail)
    path = there / "1" / "state.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    later = json.loads(arrays["manifest"].tobytes()) | {"format": 9, "jaxdis": "7.0"}
    arrays["manifest"] = np.frombuffer(json.dumps(later).encode(), np.uint8)
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"was written by jaxdis 7\.0 in format 9"):
        checkpoint.restore(there, tree(0.0), pytest.fail)
    assert names(there) == ["1"]


def test_a_full_disk_leaves_what_was_there(there, monkeypatch):
    checkpoint.save(there, 1, tree(1.0))

    def full(file, **arrays):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(there, 2, tree(2.0))
    assert names(there) == ["1"]
    assert checkpoint.restore(there, tree(0.0), pytest.fail).step == 1


def test_what_a_kill_left_is_cleared(there):
    checkpoint.save(there, 1, tree(1.0))
    (there / ".2.tmp").mkdir()
    (there / ".2.tmp" / "state.npz").write_bytes(b"half")
    assert checkpoint.restore(there, tree(0.0), pytest.fail).step == 1
    checkpoint.save(there, 3, tree(1.0))
    assert names(there) == ["1", "3"]


def test_a_score_that_is_not_known_is_never_the_best(there):
    for step, score in ((10, np.nan), (20, -5.0), (30, np.nan), (40, np.nan)):
        checkpoint.save(there, step, tree(step), score=score)
    assert list(checkpoint.steps(there)) == [20, 30, 40]
    worth = {10: 3.0, 20: -5.0, 30: np.nan}
    assert checkpoint.choose(there, "best", worth) == 20
    assert checkpoint.choose(there, "best", {}) == 40
    assert checkpoint.choose(there, "last", worth) == 40
    assert checkpoint.choose(there, 30, worth) == 30
    with pytest.raises(
        ValueError, match="steps that are kept, 20, 30, 40; got 'first'"
    ):
        checkpoint.choose(there, "first", worth)


def test_a_part_is_read_onto_one_device(there):
    rows = {"state": {"params": tree(1 / 3), "opt_state": tree(2.0)}, "skipped": 1}
    mesh = jax.make_mesh((2,), ("seed",))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("seed"))
    rows["state"]["params"]["w"] = jax.device_put(jnp.ones((4, 3)), spread)
    checkpoint.save(there, 1, {"rows": jax.tree.map(jnp.asarray, rows)})
    params = jax.eval_shape(lambda: rows["state"]["params"])
    like = {"rows": {"state": {"params": params}}}
    found = checkpoint.read(there, 1, like)["rows"]["state"]["params"]
    np.testing.assert_array_equal(found["w"], np.ones((4, 3)))
    assert len(found["w"].sharding.device_set) == 1
    for other in ({"w": params["w"]}, tree(0.0)):
        with pytest.raises(ValueError, match="do not fit this model"):
            checkpoint.read(there, 1, {"rows": {"state": {"params": other}}})

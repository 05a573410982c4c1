"""The simulated arm: its mixture, its pairs of rows, and what is refused."""

import re
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from jaxdis.data.arm import EPISODE, Arm, arm, mixed

SMALL = Arm(joints=2, episodes=10)
needs_mujoco = pytest.mark.skipif(
    find_spec("mujoco") is None, reason="MuJoCo is not installed"
)


def test_the_mixture_can_be_inverted():
    rng = np.random.default_rng(0)
    state = rng.normal(size=(50, 2)) * [3, 0.1] + [5, 0]
    x = mixed(state, np.random.default_rng(1))
    assert x.shape == (50, 6)
    draws = np.random.default_rng(1)
    rotations = [np.linalg.qr(draws.normal(size=(6, 6)))[0] for _ in range(3)]
    grid = np.linspace(-60, 60, 400_001)
    v = x
    for rotation in reversed(rotations):
        v = np.interp(v, grid + np.tanh(2 * grid), grid) @ rotation.T
    wanted = (state - state.mean(0)) / state.std(0)
    np.testing.assert_allclose(v[:, :2], wanted, atol=1e-3)
    np.testing.assert_allclose(v[:, 2:], 0, atol=1e-3)


def test_every_joint_has_a_motor():
    xml = arm(3, 0.2, 1.2)
    assert xml.count("<joint ") == xml.count("<motor ") == 3


@needs_mujoco
def test_pairs_follow_each_other_within_an_episode():
    splits = SMALL.load()
    spec, per = SMALL.spec(), EPISODE - 1
    assert (len(splits.train.x), len(splits.valid.x)) == (8 * per, per)
    assert splits.train.x.shape[1:] == (2, *spec.shape)
    z = np.asarray(splits.train.z).reshape(8, per, 2, 4)
    assert (z[:, :-1, 1] == z[:, 1:, 0]).all()
    assert np.abs(z[:, 0, 0, :2]).max() <= 1  # episodes start anew
    assert (z[:, 0, 0, 2:] == 0).all()
    # What a motor is told moves the velocity of its joint.
    change = z[:, :, 1, 2:] - z[:, :, 0, 2:]
    told = np.asarray(splits.train.a).reshape(8, per, 2)
    found = np.corrcoef(change.reshape(-1, 2).T, told.reshape(-1, 2).T)[:2, 2:]
    assert (np.diag(found) > 0.5).all()
    assert (np.diag(found) > np.abs(np.diag(found[::-1]))).all()
    apart = replace(SMALL, worlds=0).load_worlds((2, 0))
    assert (apart.test.x[1] == splits.test.x).all()
    assert np.abs(apart.test.x[0] - splits.test.x).max() > 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joints": 5}, "data.joints must be one of 1, 2, 3, 4, got 5"),
        ({"episodes": 9}, "data.episodes must be at least 10, got 9"),
        ({"worlds": -1}, "data.worlds must be at least 0, got -1"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(SMALL, **changes).spec()


@pytest.mark.skipif(find_spec("mujoco") is not None, reason="MuJoCo is installed")
def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match="needs mujoco, which is not installed"):
        SMALL.load()

"""An arm that MuJoCo simulates, of which only a smooth mixture is seen.

A planar arm with a motor in each joint, under sparse random torques, in episodes. The
state, its angles and velocities, is what is to be recovered.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jaxdis import check
from jaxdis.data import draws
from jaxdis.types import Rows, Spec, Splits, Truth

__all__ = ["COLOURS", "EPISODE", "Arm", "arm", "mixed", "steps", "wiring"]

EPISODE = 50  # rows; the arm then starts anew
SUBSTEPS = 10  # of 10 ms in each row
OFTEN = 0.3  # the share of the rows in which a motor is told something
UNTOLD = 0.1  # the standard deviation of what a motor does unasked
LINK = 0.3  # the length of a link, in metres
COLOURS = ("1 .2 .2", ".2 1 .2", ".3 .4 1", "1 1 .2")
DAMPING, GEAR = 0.2, 1.2


def arm(joints: int, damping: float, gear: float) -> str:
    """The arm from above, in MuJoCo's XML.

    Args:
      joints: the number of joints, up to four.
      damping: the torque that slows a joint, in Nm at 1 rad/s.
      gear: the torque of a motor that is told 1, in Nm.
    """
    links = ""
    for i in reversed(range(joints)):
        links = (
            f'<body pos="{LINK * (i > 0)} 0 0">'
            f'<joint name="joint{i}" axis="0 0 1" range="-2.5 2.5" armature=".06"'
            f' damping="{damping}"/><geom type="capsule" fromto="0 0 0 {LINK} 0 0"'
            f' size=".08" mass=".05" rgba="{COLOURS[i]} 1"/>{links}</body>'
        )
    motors = "".join(f'<motor joint="joint{i}" gear="{gear}"/>' for i in range(joints))
    height = 1.1 * (LINK * joints + 0.08) / np.tan(np.deg2rad(22.5))
    return (
        '<mujoco><compiler angle="radian"/><option timestep=".01" gravity="0 0 0">'
        '<flag contact="disable"/></option><worldbody>'
        f'<camera name="above" pos="0 0 {height}" fovy="45"/>{links}'
        f"</worldbody><actuator>{motors}</actuator></mujoco>"
    )


def steps(
    model: Any, joints: int, rows: int, rng: np.random.Generator
) -> Iterator[tuple[int, Float[np.ndarray, "a"], Any]]:
    """Episode, what the motors were told, and the physics after it; row by row.

    Args:
      model: the arm.
      joints: the number of joints.
      rows: the number of rows.
      rng: where torques and starts are drawn from.
    """
    import mujoco

    data = mujoco.MjData(model)
    for row in range(rows):
        told = np.zeros(joints)
        if row % EPISODE == 0:
            mujoco.mj_resetData(model, data)
            data.qpos[:] = rng.uniform(-1, 1, joints)
            mujoco.mj_forward(model, data)
        else:
            told = rng.normal(size=joints) * (rng.random(joints) < OFTEN)
            data.ctrl[:] = told + UNTOLD * rng.normal(size=joints)
            mujoco.mj_step(model, data, nstep=SUBSTEPS)
        yield row // EPISODE, told, data


def mixed(
    state: Float[np.ndarray, "n z"], rng: np.random.Generator
) -> Float[np.ndarray, "n x"]:
    """An injective smooth mixture, three times as long: `v + tanh(2 v)` and rotations.

    Args:
      state: what is mixed, in any units.
      rng: where the rotations are drawn from.
    """
    size = 3 * state.shape[1]
    v = (state - state.mean(0)) / state.std(0)
    wide = np.zeros((len(v), size))
    wide[:, : v.shape[1]] = v
    for _ in range(3):
        rotation, _ = np.linalg.qr(rng.normal(size=(size, size)))
        wide = wide @ rotation
        wide = wide + np.tanh(2 * wide)
    return wide


def wiring(joints: int) -> Int[np.ndarray, "z a"]:
    """Which motor moves what: motor i the angle and the velocity of joint i."""
    return np.tile(np.eye(joints, dtype=int), (2, 1))


@dataclass(frozen=True)
class Arm:
    """Pairs of rows of a simulated arm: x a mixture of its state, a the torques.

    Needs `pip install "jaxdis[examples]"`, which brings MuJoCo.

    Attributes:
      joints: the number of joints, 1 to 4; latents are twice as many, angles first.
      episodes: the number of episodes of 50 rows; a tenth of them for each of valid
        and test.
      worlds: the number of independent draws of mixture and torques, of which seed s
        sees number s mod worlds; 0 for one of its own for every seed, 1 for one that
        all see.
      seed: the seed of mixtures, torques and starts.
    """

    joints: int = 3
    episodes: int = 400
    worlds: int = 1
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes, without simulating.

        Raises:
          ValueError: too many joints, too few episodes, or MuJoCo is not installed.
        """
        check.one_of("data.joints", self.joints, range(1, len(COLOURS) + 1))
        check.at_least("data.episodes", self.episodes, 10)
        draws.check_worlds(self.worlds)
        if find_spec("mujoco") is None:
            raise ValueError(
                "the arm needs mujoco, which is not installed: pip install "
                '"jaxdis[examples]"'
            )
        size = 2 * self.joints
        return Spec(
            shape=(3 * size,),
            steps=2,
            a_dim=self.joints,
            z_dim=size,
            truth=Truth(ga=wiring(self.joints)),
            worlds=draws.count(self.worlds),
            breaks="links are coupled, so that a torque moves other joints a little",
        )

    def load(self) -> Splits:
        """Simulates; of all worlds, or of 8 where every seed has its own.

        Raises:
          ValueError: as `spec`.
        """
        self.spec()
        if self.worlds != 1:
            return self.load_worlds(draws.numbers(self.worlds))
        return Splits(*self._world(0))

    def load_worlds(self, numbers: tuple[int, ...]) -> Splits:
        """The same of the worlds with those numbers, with an axis of them in front."""
        return Splits(*draws.stacked(self._world, numbers))

    def _world(self, number: int) -> tuple[Rows, Rows, Rows]:
        """Pairs of rows that follow each other; whole episodes to each split."""
        import mujoco

        rng = np.random.default_rng([self.seed, number])
        model = mujoco.MjModel.from_xml_string(arm(self.joints, DAMPING, GEAR))
        told, states = [], []
        for _, action, data in steps(model, self.joints, EPISODE * self.episodes, rng):
            told.append(action)
            states.append(np.concatenate([data.qpos, data.qvel]))
        z = np.array(states)
        x = mixed(z, rng)
        held_out = self.episodes // 10
        sizes = (self.episodes - 2 * held_out, held_out, held_out)
        ends = np.cumsum((0, *sizes)) * EPISODE
        train = slice(0, ends[1])
        x, a = (_standard(v, train) for v in (x, np.array(told)))
        first, second, third = (
            _pairs(x[i:j], a[i:j], z[i:j]) for i, j in itertools.pairwise(ends)
        )
        return first, second, third


def _standard(v: Float[np.ndarray, "n c"], train: slice) -> Float[np.ndarray, "n c"]:
    return (v - v[train].mean(0)) / v[train].std(0)


def _pairs(
    x: Float[np.ndarray, "n x"],
    a: Float[np.ndarray, "n a"],
    z: Float[np.ndarray, "n z"],
) -> Rows:
    """Rows of two that follow each other, and the action between them."""
    first = np.flatnonzero(np.arange(len(x)) % EPISODE < EPISODE - 1)
    pair = np.stack([first, first + 1], 1)
    return Rows(
        jnp.asarray(x[pair], jnp.float32),
        a=jnp.asarray(a[first + 1], jnp.float32),
        z=jnp.asarray(z[pair], jnp.float32),
    )

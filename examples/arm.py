"""An arm of which only a mixture, or a picture, is seen: is its state recovered?

A planar arm with a motor in each joint is simulated by MuJoCo under sparse random
torques, in episodes. Mechanism sparsity sees what the motors were told and

- vectors: an unknown smooth mixture, three times as long, of angles and velocities; or
- pictures: the arm from above in 32 x 32 pixels. One picture shows no velocity; the
  joints are so stiff here that there is none to remember, and the state is the angles.

The state itself is held back: it is in the file for the scores. Printed are, for every
bound on the edges of the graphs and untrained, the held-out objective, MCC and R over
seeds, and beside the wiring of the motors the graph from actions that was learned.

    pip install "jaxdis[examples]"
    python -m examples.arm
    MUJOCO_GL=egl python -m examples.arm --pictures --joints 2
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from jaxtyping import Float, UInt8

import jaxdis
from jaxdis import log, metrics, statistics

EPISODE = 50  # rows; the arm then starts anew
SUBSTEPS = 10  # of 10 ms in each row
OFTEN = 0.3  # the share of the rows in which a motor is told something
UNTOLD = 0.1  # the standard deviation of what a motor does unasked
PIXELS = 32
LINK = 0.3  # the length of a link, in metres
COLOURS = ("1 .2 .2", ".2 1 .2", ".3 .4 1", "1 1 .2")


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
) -> Iterator[tuple[int, np.ndarray, Any]]:
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
    """An injective smooth mixture, three times as long: `v + tanh(v)` and rotations.

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


def simulate(file: Path, joints: int, rows: int, pictures: bool, seed: int = 0) -> None:
    """Writes x, a, z and episode of an arm into an npz.

    Args:
      file: where to.
      joints: the number of joints.
      rows: the number of rows.
      pictures: whether x are pictures, and the state the angles alone.
      seed: the seed of torques, starts and mixture.
    """
    import mujoco

    rng = np.random.default_rng(seed)
    xml = arm(joints, 4.0, 12.0) if pictures else arm(joints, 0.2, 1.2)
    model = mujoco.MjModel.from_xml_string(xml)
    renderer = mujoco.Renderer(model, PIXELS, PIXELS) if pictures else None
    episodes, actions, states = [], [], []
    frames: list[UInt8[np.ndarray, "h w c"]] = []
    for episode, told, data in steps(model, joints, rows, rng):
        episodes.append(episode)
        actions.append(told)
        speeds = np.zeros(0) if pictures else data.qvel
        states.append(np.concatenate([data.qpos, speeds]))
        if renderer is not None:
            renderer.update_scene(data, "above")
            frames.append(renderer.render().copy())
    z = np.array(states)
    x = np.stack(frames) if pictures else mixed(z, rng).astype(np.float32)
    np.savez(
        file,
        x=x,
        a=np.array(actions, np.float32),
        z=z.astype(np.float32),
        episode=np.array(episodes),
    )


def spread(values: Float[np.ndarray, "s"]) -> str:
    """Mean and sample standard deviation over seeds."""
    mean, deviation = statistics.mean(values), statistics.deviation(values)
    return f"{mean:6.3f} ± {deviation:.3f}"


def show(name: str, run: jaxdis.Run, joints: int) -> None:
    """The scores at every bound, and the graph from actions beside the wiring.

    Args:
      name: what was done, in words.
      run: the run.
      joints: the number of joints: motor i turns joint i.
    """
    print(f"\n{name}\n  bounds (z, a)   NLL             MCC             R")
    for point, group in enumerate(run.record.groups):
        bounds = f"{group.hyper['bound_z']:.0f}, {group.hyper['bound_a']:.0f}"
        found = (run.scores[s][point] for s in ("nll", "mcc", "r"))
        print(f"  {bounds:14}", "  ".join(map(spread, found)))
    choice = run.choose()
    print(f"  without truth: point {choice.point + 1}, by {choice.criterion}")
    learned = run.graphs["graph_a"]
    wiring = np.tile(np.eye(joints), (learned.shape[-2] // joints, 1))
    for point, graphs in enumerate(learned):
        wrong = ((graphs > 0.5) != wiring[None]).sum((1, 2)).mean()
        print(f"  point {point + 1}: {wrong:.1f} of {wiring.size} edges are wrong")
    print(f"  edges from motors at point {choice.point + 1}, mean over seeds:")
    for i, row in enumerate(learned[choice.point].mean(0)):
        quantity = ("angle", "velocity")[i // joints]
        numbers = "  ".join(f"{p:.2f}" for p in row)
        print(f"    {quantity:9}{i % joints + 1}  {numbers}")


def main(
    pictures: bool = False,
    joints: int = 3,
    rows: int = 20_000,
    seeds: int = 8,
    steps: int | None = None,
    out: Path = Path("runs/arm"),
) -> None:
    """Simulates an arm, trains on it and prints what was recovered.

    Args:
      pictures: pictures in place of vectors.
      joints: the number of joints, 2 to 4.
      rows: the number of rows.
      seeds: the number of seeds.
      steps: the number of steps; by default, by the number of rows.
      out: the directory of the file and of the runs, which must be new.
    """
    if not 2 <= joints <= len(COLOURS):
        raise ValueError(f"joints must be 2 to {len(COLOURS)}, got {joints}")
    out.mkdir(parents=True)
    file = out / "arm.npz"
    simulate(file, joints, rows, pictures)
    # The loss of a picture's few latents needs few channels, and cores are few.
    config = {"channels": 8, "batch": 32} if pictures else {}
    trained = jaxdis.train(
        "mechanism_sparsity/own",
        data=str(file),
        seeds=seeds,
        steps=steps,
        config=config,
        out=out / "trained",
    )
    first = trained.record.groups[0].hyper
    untrained = jaxdis.train(
        "mechanism_sparsity/own",
        data=str(file),
        seeds=seeds,
        steps=1,
        config=config,
        hyper={name: first[name] for name in ("bound_z", "bound_a")},
        out=out / "untrained",
    )
    data = np.load(file)
    if not pictures:
        floor = float(metrics.mcc(data["z"], data["x"]))
        print(f"\nMCC of the observations themselves: {floor:.3f}")
    show("untrained", untrained, joints)
    show("trained; the first bounds are no bounds", trained, joints)
    log.console.print(f"report: {trained.report()}")


if __name__ == "__main__":
    tyro.cli(main)

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

from pathlib import Path

import numpy as np
import tyro
from jaxtyping import Float, UInt8

import jaxdis
from jaxdis import log, metrics, statistics
from jaxdis.data.arm import COLOURS, arm, mixed, steps, wiring

PIXELS = 32


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
    wired = wiring(joints)[: learned.shape[-2]]  # of pictures, the angles alone
    for point, graphs in enumerate(learned):
        wrong = ((graphs > 0.5) != wired[None]).sum((1, 2)).mean()
        print(f"  point {point + 1}: {wrong:.1f} of {wired.size} edges are wrong")
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

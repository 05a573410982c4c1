"""What a run needs of memory, before it is compiled or its data are drawn."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxdis import program, sweep
from jaxdis.data import draws
from jaxdis.experiment.plan import Plan
from jaxdis.experiment.prepared import Experiment
from jaxdis.memory import OutOfMemory, Room, shown, size
from jaxdis.types import Batches, Spec, Stream

__all__ = [
    "Estimate",
    "check_fits",
    "in_words",
    "most_seeds",
    "of_experiment",
    "of_plan",
    "shortage",
]

MANY = 10**9  # bytes of data that are worth a look before they are drawn


class Estimate(NamedTuple):
    """The memory of a run, in bytes.

    Attributes:
      seeds: the number of seeds.
      points: the number of grid points.
      at_once: the number of rows that are on the devices at a time.
      row: the state of one row.
      data: the data on each device.
      room: what there is.
      step: what a step takes besides on each device; 0 where that is not known.
      evaluation: what the evaluation of held-out rows takes besides, likewise.
      own: the part of the data that one seed alone sees, and another seed would bring.
    """

    seeds: int
    points: int
    at_once: int
    row: int
    data: int
    room: Room
    step: int = 0
    evaluation: int = 0
    own: int = 0

    @property
    def rows(self) -> int:
        """The number of rows of the run."""
        return self.seeds * self.points

    @property
    def devices(self) -> int:
        """The number of devices that are used."""
        return min(self.room.devices, self.at_once)

    @property
    def states(self) -> int:
        """The states of the rows that are on a device at a time.

        In the end, those before the first step are there as well, to compare with.
        Where several devices share the memory of the machine a third copy is that of a
        checkpoint.
        """
        copies = 3 if self.room.shared and self.devices > 1 else 2
        return -(-self.at_once // self.devices) * self.row * copies

    @property
    def needed(self) -> int:
        """The bytes that a device needs."""
        return self.states + self.data + max(self.step, self.evaluation)

    @property
    def waiting(self) -> int:
        """The bytes that the machine needs for rows that are on no device.

        Those that wait, with those before the first step to compare with; or those of a
        checkpoint, where the devices have a memory of their own.
        """
        turns = self.at_once < self.rows
        others = self.rows - self.at_once if self.room.shared else self.rows
        return others * self.row * (2 if turns else 1)

    @property
    def total(self) -> int:
        """What is compared with what is free: of a device, or of the whole machine."""
        shared = self.devices * self.needed + self.waiting
        return shared if self.room.shared else self.needed

    @property
    def fits(self) -> bool:
        """Whether there is enough, as far as that is known."""
        free, host = self.room.free, self.room.host
        return (free is None or self.total <= free) and (
            host is None or self.waiting <= host
        )

    def holding(self, rows: int, at_once: int | None = None) -> "Estimate":
        """The same for another number of rows, as if it were one of seeds.

        What a step takes grows as the rows that are there at once.

        Args:
          rows: the number of rows.
          at_once: how many are there at once; by default all.
        """
        at_once = rows if at_once is None else min(rows, at_once)
        share, seeds = at_once / self.at_once, -(-rows // self.points)
        return self._replace(
            data=self.data + self.own * (seeds - self.seeds),
            seeds=rows,
            points=1,
            at_once=at_once,
            step=math.ceil(self.step * share),
            evaluation=math.ceil(self.evaluation * share),
        )


def _most(fits: Callable[[int], bool], limit: int) -> int:
    """The largest number up to a limit that fits, by halving; 0 if not even one."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _rounded(number: int) -> int:
    """Down to two digits: it is an estimate."""
    step = 10 ** max(0, len(str(number)) - 2)
    return number // step * step


def most_seeds(estimate: Estimate) -> int:
    """About how many seeds fit; 0 if not even one, at most 2^31 - 1."""
    turns = estimate.at_once if estimate.at_once < estimate.rows else None

    def fits(seeds: int) -> bool:
        return estimate.holding(seeds * estimate.points, turns).fits

    return _rounded(_most(fits, 2**31 - 1))


def _turns(estimate: Estimate) -> int:
    """About how many rows can be there at once if all rows take turns; 0 if none."""
    return _rounded(
        _most(lambda n: estimate.holding(estimate.rows, n).fits, estimate.rows)
    )


def _seeds(number: int) -> str:
    return f"{number:,} seed{'s' * (number > 1)}"


def in_words(estimate: Estimate) -> str:
    """What a run needs and what there is, in one clause."""
    room = estimate.room
    several = estimate.devices if room.shared else 1
    parts = {
        "states": several * estimate.states + estimate.waiting * room.shared,
        "data": several * estimate.data,
        "a step": several * estimate.step,
        "evaluation": several * estimate.evaluation,
    }
    named = ", ".join(f"{name} {shown(part)}" for name, part in parts.items() if part)
    what = _seeds(estimate.seeds)
    what += f" at {estimate.points:,} points" * (estimate.points > 1)
    what += f", {estimate.at_once:,} rows at once," * (estimate.at_once < estimate.rows)
    verb = "needs" if what.endswith("seed") else "need"
    free = "of unknown size" if room.free is None else f"with {shown(room.free)} free"
    return (
        f"{what} {verb} about {shown(estimate.total)} ({named}) on {room.where}, {free}"
    )


def shortage(estimate: Estimate) -> str:
    """What does not fit, and what would, in one sentence."""
    seeds, turns = most_seeds(estimate), _turns(estimate)
    alone = estimate.holding(estimate.points, 1)
    if seeds >= estimate.seeds:  # it ran out all the same
        half = estimate.seeds // 2, estimate.at_once // 2
        first = f"try {_seeds(half[0])}, or " if half[0] else ""
        first += f"rows_at_once {half[1]:,}" if half[1] else "take a smaller batch"
    elif seeds:
        first = f"about {_seeds(seeds)} fit" + " at most" * (not estimate.step)
        first += f", or all of them with rows_at_once {turns:,}" * (turns > 0)
    elif estimate.room.free is not None and alone.data > estimate.room.free:
        first = "the data alone do not fit: take fewer rows"
    else:
        first = "not even one seed fits: take smaller networks"
    return f"out of memory: {in_words(estimate)}; {first}"


def check_fits(estimate: Estimate) -> None:
    """Raises OutOfMemory, with what would fit, unless the run fits."""
    if not estimate.fits:
        raise OutOfMemory(shortage(estimate))


def _drawn(plan: Plan, spec: Spec) -> int:
    """The bytes of data that are made from settings, if they may be many; or 0.

    Data of files are as large as the files; those that are drawn are traced, and only
    where one of their settings is so large a number that it may matter.
    """
    fields = dataclasses.fields(plan.data)  # type: ignore[arg-type]
    values = (getattr(plan.data, field.name) for field in fields)
    largest = max((v for v in values if isinstance(v, int)), default=0)
    numbers = draws.needed(plan.data, spec, plan.seeds)
    worlds = 1 if numbers is None else len(numbers)
    if 4 * largest * worlds * math.prod(spec.shape) * (spec.steps or 1) < MANY:
        return 0

    def rows() -> list[Any]:
        # Of one world, which are all as large.
        splits = draws.load(plan.data, spec, plan.seeds[:1]).splits
        return jax.tree.leaves((splits.train, splits.valid, splits.test))

    try:
        return worlds * size(jax.eval_shape(rows))
    except Exception:  # numbers of the host cannot be traced; loading them will tell
        return 0


def _own(data: int, plan: Plan, spec: Spec) -> int:
    """What one seed has of the data for itself."""
    return data // len(plan.seeds) if spec.worlds == 0 else 0


def of_plan(plan: Plan, room: Room, at_once: int | None = None) -> Estimate:
    """What is known before the data are drawn: the states of the rows.

    And the data, where their settings say how large they are.

    Args:
      plan: the setting.
      room: what there is.
      at_once: the number of rows on the devices at a time; None for all.
    """
    spec = plan.data.spec()
    keys, hyper = sweep.lay_out(
        sweep.seed_keys(1, plan.seeds[0]), plan.method.hyper, plan.points[:1]
    )
    rows, data = len(plan.seeds) * len(plan.points), _drawn(plan, spec)
    return Estimate(
        seeds=len(plan.seeds),
        points=len(plan.points),
        at_once=rows if at_once is None else min(rows, at_once),
        row=size(program.row_shapes(plan.make(spec), keys, hyper)),
        data=data,
        room=room,
        own=_own(data, plan, spec),
    )


def _placed(batches: Batches) -> int:
    """The bytes that go to every device."""
    sample = batches.sample
    held_out = size((batches.valid, batches.test))
    if not isinstance(sample, Stream):
        return size((sample, batches.valid, batches.test))
    n = len(jax.tree.leaves(sample.rows)[0])
    return held_out + 2 * sample.block * (size(sample.rows) // n)


def of_experiment(
    experiment: Experiment, room: Room, at_once: int | None = None
) -> Estimate:
    """What is known before anything is compiled: the states of the rows and the data.

    Args:
      experiment: what is to be trained.
      room: what there was before its data were drawn.
      at_once: as in `of_plan`.
    """
    splits = [a for a in jax.tree.leaves(experiment.splits) if isinstance(a, jax.Array)]
    data = max(size(splits), _placed(experiment.batches))
    plan, spec = experiment.plan, experiment.spec
    found = of_plan(plan, room, at_once)
    return found._replace(data=data, own=_own(data, plan, spec))

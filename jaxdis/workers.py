"""Work of the host that is divided among processes of one thread each."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from jaxdis import check

__all__ = ["in_processes"]

START = 4.0  # seconds of work that starting processes is worth

A = TypeVar("A")
B = TypeVar("B")


def in_processes(
    work: Callable[..., B],
    tasks: Sequence[A],
    *,
    seconds: float,
    jobs: int | None,
    what: str,
    progress: bool | None = None,
) -> list[B]:
    """`[work(task) for task in tasks]`, in processes where that pays.

    A single task, and little work, stay in this process. Processes are kept for the
    next call for some minutes. An interruption ends them.

    Args:
      work: a function of a module, of one task.
      tasks: what it is called with.
      seconds: about how long all of it takes one core.
      jobs: the number of processes; by default one for each core that there is.
      what: what the bar says of the work.
      progress: whether a bar shows how far it is; by default in a terminal, for work
        that lasts.

    Returns:
      What came back, in the order of the tasks.

    Raises:
      ValueError: if jobs is no number of processes.
    """
    import joblib
    from threadpoolctl import threadpool_limits

    if jobs is not None:
        check.count("jobs", jobs)
    jobs = min(jobs or joblib.cpu_count(), len(tasks))
    shown = seconds > START if progress is None else progress
    bar = _bar(what, len(tasks)) if shown else nullcontext(_ignore)
    found = []
    with bar as advance:
        if jobs < 2 or seconds * (1 - 1 / jobs) < START:
            with nullcontext() if len(tasks) == 1 else threadpool_limits(1):
                for task in tasks:
                    found.append(work(task))
                    advance()
            return found
        with joblib.parallel_config("loky", inner_max_num_threads=1):
            pool = joblib.Parallel(jobs, return_as="generator")
            for result in pool(joblib.delayed(work)(task) for task in tasks):
                found.append(result)
                advance()
    return found


def _ignore() -> None:
    """Nobody is told."""


def _bar(what: str, total: int) -> AbstractContextManager[Callable[[], None]]:
    from jaxdis.progress import counting  # processes of work need no pictures

    return counting(what, total)

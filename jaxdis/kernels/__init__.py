"""Operations that dominate a training step, one folder each.

Every operation has a definition (`ref`), a form for XLA, and compiled kernels in
Pallas. Which one runs is `impl`:

- None: what a committed benchmark found to be the fastest on this platform; see
  `FASTEST`;
- "xla": plain XLA, on every platform;
- "pallas": the compiled kernel of this platform;
- "pallas_tpu", "pallas_gpu": that of a named platform, to lower or compile for it
  elsewhere;
- "interpret": the TPU's kernel, interpreted on any platform, for tests.

Sizes that a kernel cannot tile run in XLA, which is logged once.
"""

import functools
import logging
from typing import Literal, TypeAlias, get_args

import jax

Impl: TypeAlias = Literal["xla", "pallas", "pallas_tpu", "pallas_gpu", "interpret"]

# Of the benchmarks' committed results. There is none yet of a TPU or a GPU, so that
# XLA, which is known to work there, stays the default.
FASTEST: dict[str, Impl] = {"cpu": "xla"}

logger = logging.getLogger(__name__)


def choose(impl: Impl | None, operation: str, refusals: dict[str, str | None]) -> Impl:
    """The form of an operation to run.

    Args:
      impl: what was asked for.
      operation: its name, for messages.
      refusals: for each platform with a kernel, "tpu" or "gpu", why it cannot run on
        these sizes; None if it can.

    Raises:
      ValueError: an unknown form; a kernel on a platform without one.
    """
    platform = jax.default_backend()
    asked = impl is not None
    if impl is None:
        impl = FASTEST.get(platform, "xla")
    if impl not in get_args(Impl):
        raise ValueError(
            f"impl must be None or one of {', '.join(get_args(Impl))}, got {impl!r}"
        )
    if impl == "xla":
        return impl
    if impl == "interpret":
        wanted = "tpu"
    else:
        wanted = platform if impl == "pallas" else impl.removeprefix("pallas_")
    if wanted not in refusals and not asked:
        return "xla"
    if wanted not in refusals:
        raise ValueError(
            f"impl={impl!r}: {operation} has a compiled kernel for "
            f"{' and '.join(refusals)} and none for {wanted}; impl='xla' runs "
            "everywhere"
        )
    if reason := refusals[wanted]:
        _say_once(f"{operation} runs in XLA: {reason}")
        return "xla"
    return "interpret" if impl == "interpret" else _named(wanted)


def _named(platform: str) -> Impl:
    return "pallas_tpu" if platform == "tpu" else "pallas_gpu"


@functools.cache
def _say_once(line: str) -> None:
    logger.warning(line)

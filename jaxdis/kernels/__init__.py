"""Operations that dominate a training step, one folder each.

Every operation has a definition (`ref`) and a table `FORMS` of the ways to run it, each
a `Form`: plain XLA, and compiled kernels in Pallas. Which one runs is `impl`:

- None: what a committed benchmark found to be the fastest on the platform that the
  program is lowered for; see `FASTEST`;
- "xla": plain XLA, on every platform;
- "pallas": the compiled kernel of the platform that the program is lowered for;
- "pallas_tpu", "pallas_gpu": the kernel of a named platform, to lower or compile for it
  elsewhere;
- "interpret": the TPU's kernel, interpreted on any platform, for tests.

Kernels take all sizes. What one cannot run on, another type of numbers or another
generation of GPUs, runs in XLA, which is logged once; `in_use` says which form it is.
"""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import mlir

__all__ = ["FASTEST", "Form", "Impl", "Sizes", "in_use", "recomputed", "run"]

Impl: TypeAlias = Literal["xla", "pallas", "pallas_tpu", "pallas_gpu", "interpret"]

# The form of each platform that the benchmarks' committed results show to be the
# fastest there. There is none yet of a TPU or a GPU, so that XLA, which is known to
# work there, stays the default.
FASTEST: dict[str, str] = {"cpu": "xla"}

A = TypeVar("A")  # an operation's arguments, a pytree of arrays
S = TypeVar("S")  # its setting, which is static
R = TypeVar("R")  # its results, a pytree of arrays

_logger = logging.getLogger(__name__)


class Sizes(NamedTuple):
    """What decides whether a kernel can run.

    Attributes:
      b: the number of rows.
      n: the number of inputs of a network.
      k: the number of networks.
      h: the number of hidden units of a network.
      dtype: the type of the rows.
    """

    b: int
    n: int
    k: int
    h: int
    dtype: Any = jnp.float32


class Form(NamedTuple):
    """One way to run an operation.

    Attributes:
      run: `(arguments, setting) -> results`, differentiable in reverse; arguments and
        results are pytrees of arrays, and the setting is static.
      refusal: `sizes -> reason` in words why it cannot run on them; None if it can.
      platform: the only platform that it runs on, as `jax.lax.platform_dependent`
        names it; None if it runs on all.
    """

    run: Callable[[Any, Any], Any]
    refusal: Callable[[Sizes], str | None]
    platform: str | None = None


def recomputed(
    forward: Callable[[A, S], R], backward: Callable[[A, S, R], A]
) -> Callable[[A, S], R]:
    """The `run` of a form that keeps its arguments alone for its backward pass.

    Args:
      forward: `(arguments, setting) -> results`.
      backward: `(arguments, setting, gradients of the results) -> gradients of the
        arguments`.

    Returns:
      `(arguments, setting) -> results`, differentiable in reverse.
    """

    @functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
    def both(arguments: A, setting: S) -> R:
        return forward(arguments, setting)

    def keep(arguments: A, setting: S) -> tuple[R, A]:
        return forward(arguments, setting), arguments

    def pull(setting: S, arguments: A, g: R) -> tuple[A]:
        return (backward(arguments, setting, g),)

    both.defvjp(keep, pull)
    return both


def run(
    name: str,
    forms: Mapping[str, Form],
    arguments: A,
    setting: S,
    sizes: Sizes,
    impl: Impl | None,
) -> Any:
    """Runs an operation in the form that is asked for, or in the platform's fastest.

    The platform is that of the lowering: a program that is lowered for a TPU on a CPU's
    host holds the TPU's form.

    Args:
      name: the operation's name, for messages.
      forms: its table; "xla" is in it and refuses nothing.
      arguments: its arrays.
      setting: what is static.
      sizes: the sizes of the arguments.
      impl: the form that is asked for, as the package's docstring lists them.

    Returns:
      The operation's results.

    Raises:
      ValueError: an unknown form; for "pallas", when the program is lowered, a platform
        without a compiled kernel.
    """
    _check(forms, impl)

    def fitting(form: str) -> functools.partial[Any]:
        if reason := forms[form].refusal(sizes):
            _say_once(f"{name} runs in XLA instead of {form}: {reason}")
        chosen = forms[_or_xla(forms, form, sizes)]
        return functools.partial(_call, chosen.run, setting)

    plain = functools.partial(_call, forms["xla"].run, setting)
    if impl is None:
        by_platform = {p: f for p, f in FASTEST.items() if f != "xla"}
        default = plain
    elif impl == "pallas":
        by_platform = {f.platform: n for n, f in forms.items() if f.platform}
        default = functools.partial(_refuse, name, tuple(by_platform), plain)
    else:
        by_platform, default = {}, fitting(impl)
    if not by_platform:  # also where `platform_dependent` would ask for nothing
        return default(arguments)
    branches = {platform: fitting(form) for platform, form in by_platform.items()}
    return jax.lax.platform_dependent(arguments, default=default, **branches)


def in_use(
    name: str,
    forms: Mapping[str, Form],
    sizes: Sizes,
    impl: Impl | None,
    platform: str | None = None,
) -> str:
    """The form that `run` runs on a platform: what a measurement is labelled with.

    Args:
      name: the operation's name, for messages.
      forms: its table.
      sizes: the sizes of the arguments.
      impl: the form that is asked for.
      platform: as `jax.lax.platform_dependent` names it; None for this machine's.

    Raises:
      ValueError: as of `run`.
    """
    _check(forms, impl)
    platform = platform or jax.default_backend().replace("gpu", "cuda")
    kernel = {form.platform: key for key, form in forms.items() if form.platform}
    if impl == "pallas" and platform not in kernel:
        _raise(platform, name, tuple(map(str, kernel)))
    asked = {None: FASTEST.get(platform, "xla"), "pallas": kernel.get(platform, "xla")}
    return _or_xla(forms, asked.get(impl, str(impl)), sizes)


def _or_xla(forms: Mapping[str, Form], form: str, sizes: Sizes) -> str:
    return "xla" if forms[form].refusal(sizes) else form


def _check(forms: Mapping[str, Form], impl: str | None) -> None:
    if impl is not None and impl != "pallas" and impl not in forms:
        known = ", ".join(("pallas", *forms))
        raise ValueError(f"impl must be None or one of {known}, got {impl!r}")


def _call(function: Callable[[A, S], R], setting: S, arguments: A) -> R:
    return function(arguments, setting)


@functools.cache
def _say_once(line: str) -> None:
    _logger.warning(line)


# A number that no platform can compute, since no Python runs between the choice of a
# platform and the lowering for it, except for an operation's rule of lowering.
_missing = Primitive("kernel_missing_on_this_platform")


def _refuse(
    name: str, platforms: tuple[str, ...], plain: Callable[[A], R], arguments: A
) -> R:
    """Results and gradients that cannot be lowered: the error names platforms."""

    def like(a: Any) -> Any:
        if not jnp.issubdtype(a.dtype, jnp.floating):
            return np.zeros(a.shape, jax.dtypes.float0)
        nothing = _missing.bind(name=name, platforms=platforms)
        return jnp.full(a.shape, nothing, a.dtype)

    def forward(arguments: A, setting: None) -> R:
        shapes: R = jax.eval_shape(plain, arguments)
        return jax.tree.map(like, shapes)

    def backward(arguments: A, setting: None, g: R) -> A:
        return jax.tree.map(like, arguments)

    return recomputed(forward, backward)(arguments, None)


def _raise(here: str, name: str, platforms: tuple[str, ...]) -> None:
    raise ValueError(
        f"impl='pallas': {name} has a compiled kernel for {' and '.join(platforms)} "
        f"and none for {here}; impl='xla' runs everywhere"
    )


@_missing.def_abstract_eval
def _shape(name: str, platforms: tuple[str, ...]) -> Any:
    return jax.core.ShapedArray((), jnp.float32)


@_missing.def_impl
def _run_missing(name: str, platforms: tuple[str, ...]) -> None:
    _raise(jax.default_backend(), name, platforms)  # no longer traced


def _lower_missing(ctx: Any, *, name: str, platforms: tuple[str, ...]) -> Any:
    _raise(" and ".join(ctx.module_context.platforms), name, platforms)


mlir.register_lowering(_missing, _lower_missing)

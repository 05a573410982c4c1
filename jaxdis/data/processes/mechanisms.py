"""How the latents of a process move, and the processes by name.

Those of Lachapelle et al. (arXiv 2107.10098 and 2401.04890), one that both actions and
the past move, and some with interventions of unknown target.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis.data.processes import graphs
from jaxdis.data.processes.interventions import Change, Changes, changed
from jaxdis.types import PRNGKey, Scalar

__all__ = [
    "PROCESSES",
    "Mechanism",
    "Parents",
    "Process",
    "draw_interventions",
    "draw_uniform_actions",
]

ACTION_RANGE = 2.0


class Parents(NamedTuple):
    """What moves the latents of one example; None is what the process lacks.

    Attributes:
      gz: the graph from past latents `[z, z]`, or weights in place of its ones.
      ga: the graph from actions `[z, a]`, likewise.
      past: the latents before `[z]`.
      action: the action `[a]`.
    """

    gz: Any
    ga: Any
    past: Any
    action: Any


Moments: TypeAlias = tuple[Float[Array, "z"], Float[Array, "z"]]
Mechanism: TypeAlias = Callable[[Parents, Scalar], Moments]


def draw_uniform_actions(key: PRNGKey, n: int, a_dim: int) -> Float[Array, "n a"]:
    """Actions `U(-2, 2)^A`.

    Args:
      key: a random key.
      n: the number of actions to draw.
      a_dim: the size A of each.
    """
    shape = (n, a_dim)
    return jax.random.uniform(key, shape, minval=-ACTION_RANGE, maxval=ACTION_RANGE)


def draw_interventions(key: PRNGKey, n: int, a_dim: int) -> Float[Array, "n a"]:
    """One of A + 1 regimes as a one-hot, in equal shares; all 0 is no intervention.

    Args:
      key: a random key.
      n: the number of actions to draw.
      a_dim: the number A of interventions.
    """
    regime = jax.random.randint(key, (n,), 0, a_dim + 1)
    return jax.nn.one_hot(regime - 1, a_dim)


def _ones(key: PRNGKey, graph: graphs.Graph) -> Float[Array, "d p"]:
    return jnp.asarray(graph, float)


def _normal_weights(key: PRNGKey, graph: graphs.Graph) -> Float[Array, "d p"]:
    ones = jnp.asarray(graph, float)
    return ones * jax.random.normal(key, ones.shape)


# (number of latents, density, number of the graph) -> graph
_GraphOf: TypeAlias = Callable[[int, float, int], graphs.Graph]


class Process(NamedTuple):
    """How the latents move.

    Attributes:
      mechanism: `(parents, noise) -> (mean, variance)` of the last step's latents, for
        one example; noise is the data set's latent variance.
      gz: the graph from past latents, `(z_dim, density, graph_seed) -> graph`; None
        where there is no past.
      ga: the graph from actions, likewise; None where there is no action.
      actions: `(key, n, a_dim) -> actions`.
      strengths: `(key, graph) -> what the mechanism sees of the graph`.
      changes: what interventions do, where they put their targets under fixed laws.
      breaks: see `Spec.breaks`.
    """

    mechanism: Mechanism
    gz: _GraphOf | None = None
    ga: _GraphOf | None = None
    actions: Callable[[PRNGKey, int, int], Array] = draw_uniform_actions
    strengths: Callable[[PRNGKey, graphs.Graph], Array] = _ones
    changes: Changes = ()
    breaks: str = ""


def _named(graph: Callable[[int], graphs.Graph]) -> _GraphOf:
    return lambda d, density, seed: graph(d)


def _random(d: int, density: float, seed: int) -> graphs.Graph:
    return graphs.bernoulli(d, density, seed)


def _random_with_diagonal(d: int, density: float, seed: int) -> graphs.Graph:
    return graphs.bernoulli(d, density, seed, diagonal=True)


def _phases(inputs: Float[Array, "p"], d: int) -> Float[Array, "d p"]:
    """`omega_i in_p + i` with omega_i = (i + 3) / pi."""
    i = jnp.arange(d, dtype=inputs.dtype)[:, None]
    return (i + 3.0) / jnp.pi * inputs[None, :] + i


def _sum_sines(
    graph: Float[Array, "d p"], inputs: Float[Array, "p"]
) -> Float[Array, "d"]:
    return jnp.sum(graph * jnp.sin(_phases(inputs, graph.shape[0])), axis=1)


def _wave_variance(
    graph: Float[Array, "d p"], inputs: Float[Array, "p"]
) -> Float[Array, "d"]:
    """`(0.1 / p) exp(sum_j G_ij cos(omega_i in_j + i))`."""
    d, p = graph.shape
    cosines = jnp.sum(graph * jnp.cos(_phases(inputs, d)), axis=1)
    return 0.1 / p * jnp.exp(cosines)


def _constant(mean: Float[Array, "z"], noise: Scalar) -> Moments:
    return mean, jnp.full_like(mean, noise)


def _action_own_sine(of: Parents, noise: Scalar) -> Moments:
    """`mu_i = sin(a_i)`."""
    return _constant(jnp.sin(of.action), noise)


def _action_sine(of: Parents, noise: Scalar) -> Moments:
    """`mu_i = sum_l G^a_il sin(omega_i a_l + i)`."""
    return _constant(_sum_sines(of.ga, of.action), noise)


def _action_waves(of: Parents, noise: Scalar) -> Moments:
    """The mean of `_action_sine`, and a variance that moves with the action too."""
    return _sum_sines(of.ga, of.action), _wave_variance(of.ga, of.action)


def _action_linear(of: Parents, noise: Scalar) -> Moments:
    """`mu = A a`, A the weighted graph."""
    return _constant(of.ga @ of.action, noise)


def _time_own_sine(of: Parents, noise: Scalar) -> Moments:
    """`mu_i = z_i + sin(z_i) / 2`."""
    return _constant(of.past + 0.5 * jnp.sin(of.past), noise)


def _time_sine(of: Parents, noise: Scalar) -> Moments:
    """`mu_i = z_i + sum_j G^z_ij sin(omega_i z_j + i) / 2`."""
    return _constant(of.past + 0.5 * _sum_sines(of.gz, of.past), noise)


def _time_waves(of: Parents, noise: Scalar) -> Moments:
    """The mean of `_time_sine`, and a variance that moves with the past too."""
    mean = of.past + 0.5 * _sum_sines(of.gz, of.past)
    return mean, _wave_variance(of.gz, of.past)


def _time_linear(of: Parents, noise: Scalar) -> Moments:
    """`mu = z + A z / 2`, A the weighted graph."""
    return _constant(of.past + 0.5 * of.gz @ of.past, noise)


def _action_and_time_sine(of: Parents, noise: Scalar) -> Moments:
    """The mean of `_time_sine`, plus that of `_action_sine`."""
    mean = of.past + 0.5 * _sum_sines(of.gz, of.past) + _sum_sines(of.ga, of.action)
    return _constant(mean, noise)


def _time_intervened(of: Parents, noise: Scalar) -> Moments:
    """`_time_sine` plus `sum_l G^a_il a_l cos(omega_i z_i + i_l)`, i_l = l."""
    d, k = of.ga.shape
    past = of.past
    omega = (jnp.arange(d) + 3.0) / jnp.pi
    phase = (omega * past)[:, None] + jnp.arange(k, dtype=past.dtype)[None, :]
    effect = jnp.sum(of.ga * of.action[None, :] * jnp.cos(phase), axis=1)
    return _constant(past + 0.5 * _sum_sines(of.gz, past) + effect, noise)


def _put(changes: Changes) -> Mechanism:
    """`z_i ~ N(0, 1)`, and under the laws of an intervention where it is a target."""

    def mechanism(of: Parents, noise: Scalar) -> Moments:
        d = len(of.ga)
        mean, std = changed(of.ga, of.action, jnp.zeros(d), jnp.ones(d), changes)
        return mean, std**2

    return mechanism


def _time_put(mean: float, share: float = 1.0) -> Mechanism:
    """`mu_i = z_i / 2 + sum_j G^z_ij sin(omega_i z_j + i) / 2`, or a fixed mean.

    An intervention cuts its targets off their past, and leaves them a share of their
    variance.
    """

    def mechanism(of: Parents, noise: Scalar) -> Moments:
        past = 0.5 * (of.past + _sum_sines(of.gz, of.past))
        moved = jnp.any(of.ga * of.action[None] > 0, axis=1)
        return jnp.where(moved, mean, past), noise * jnp.where(moved, share, 1.0)

    return mechanism


def _action(mechanism: Mechanism, graph: Callable[[int], graphs.Graph]) -> Process:
    return Process(mechanism, ga=_named(graph))


def _time(mechanism: Mechanism, graph: Callable[[int], graphs.Graph]) -> Process:
    return Process(mechanism, gz=_named(graph))


def _interventions(graph: Callable[[int], graphs.Graph], *changes: Change) -> Process:
    return Process(
        _put(changes), ga=_named(graph), actions=draw_interventions, changes=changes
    )


PROCESSES: dict[str, Process] = {
    "ActionDiag": _action(_action_own_sine, graphs.identity),
    "ActionNonDiag": _action(_action_sine, graphs.ring),
    "ActionDoubleSuffStat": _action(_action_waves, graphs.ring),
    "ActionNoSuffVar": _action(_action_linear, graphs.ring)._replace(
        strengths=_normal_weights,
        breaks="each action moves its latents along one direction only",
    ),
    "ActionNoGraphCrit": _action(_action_sine, graphs.pairs),
    "ActionBlockEasy": _action(_action_sine, graphs.action_pairs),
    "ActionBlockHard": _action(_action_sine, graphs.action_pairs_nested),
    "ActionBlockChained": _action(_action_sine, graphs.action_pairs_chained),
    "ActionBlockDoublyNested": _action(_action_sine, graphs.action_pairs_doubly_nested),
    "ActionIrregular": _action(_action_sine, graphs.irregular),
    "ActionIrregularComplete": _action(_action_sine, graphs.irregular_complete),
    "ActionRandom": Process(_action_sine, ga=_random),
    "TimeDiag": _time(_time_own_sine, graphs.identity),
    "TimeNonDiag": _time(_time_sine, graphs.lower_triangle),
    "TimeDoubleSuffStat": _time(_time_waves, graphs.lower_triangle),
    "TimeNoSuffVar": _time(_time_linear, graphs.lower_triangle)._replace(
        strengths=_normal_weights,
        breaks="the past moves all latents linearly, in one way only",
    ),
    "TimeNoGraphCrit": _time(_time_sine, graphs.halves),
    "TimeBlockEasy": _time(_time_sine, graphs.pairs),
    "TimeBlockHard": _time(_time_sine, graphs.pairs_linked),
    "TimeBlockCrossed": _time(_time_sine, graphs.pairs_crossed),
    "TimeNearlyFull": _time(_time_sine, graphs.nearly_full),
    "TimeRandom": Process(_time_sine, gz=_random_with_diagonal),
    "ActionTimeBlocks": Process(
        _action_and_time_sine,
        gz=_named(graphs.pairs),
        ga=_named(graphs.action_pairs_between),
    ),
    "InterventionSingle": _interventions(graphs.identity, Change(3.0, 1.0)),
    "InterventionHard": _interventions(graphs.identity, Change(3.0, 0.2)),
    "InterventionScale": _interventions(graphs.identity, Change(0.0, 0.2)),
    "InterventionPair": _interventions(
        graphs.ring, Change(3.0, 1.0), Change(3.0, 1.0)
    )._replace(breaks="each intervention moves its latents along one direction only"),
    "InterventionPairScale": _interventions(
        graphs.ring, Change(0.0, 0.2), Change(0.0, 2.5)
    ),
    "InterventionTimeHard": Process(
        _time_put(2.0),
        gz=_named(graphs.full),
        ga=_named(graphs.ring),
        actions=draw_interventions,
    ),
    "InterventionTimeHeld": Process(
        _time_put(2.0, share=0.04),
        gz=_named(graphs.full),
        ga=_named(graphs.ring),
        actions=draw_interventions,
    ),
    "InterventionTimeSingle": Process(
        _time_put(2.0),
        gz=_named(graphs.full),
        ga=_named(graphs.identity),
        actions=draw_interventions,
    ),
    "InterventionTime": Process(
        _time_intervened,
        gz=_named(graphs.full),
        ga=_named(graphs.ring),
        actions=draw_interventions,
    ),
}
"""Generating processes by name.

Action* have one step and continuous actions, Time* two steps and none, ActionTime* two
steps and continuous actions, Intervention* one-hot actions of unknown target. In
ActionTimeBlocks neither graph identifies a latent, and both together identify all. In
InterventionPair an intervention moves two latents along one fixed direction, so it is a
negative control: theory promises nothing.
"""

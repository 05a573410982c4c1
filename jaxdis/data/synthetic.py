"""Generating processes with known latents and graphs, drawn on the device from a key.

`x = f(z) + n` with f a random injective network; each latent's distribution depends on
its parents among the actions (T = 1), the past latents (T = 2), or both. The processes
are those of Lachapelle et al. (arXiv 2107.10098 and 2401.04890) and three with
interventions of unknown target.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from jaxdis.data import bind, graphs
from jaxdis.types import PRNGKey

LEAKY_SLOPE = 0.2
ACTION_RANGE = 2.0


class Sequences(NamedTuple):
    """Short sequences with their latents.

    Attributes:
      x: observations; t is 1, or 2 where the past matters.
      a: the action before the last step, None if the process has none.
      z: true latents, noise-free in x only through the mixing.
    """

    x: Float[Array, "n t x"]
    a: Float[Array, "n a"] | None
    z: Float[Array, "n t z"]


class Spec(NamedTuple):
    """What a system must know about its data before it sees any.

    Attributes:
      x_dim, z_dim, a_dim: sizes; a_dim is 0 without actions.
      steps: t, 1 or 2.
      gz: true graph `[z, z]` from past latents, None where there is no past.
      ga: true graph `[z, a]` from actions, None where there are none.
    """

    x_dim: int
    z_dim: int
    a_dim: int
    steps: int
    gz: Int[np.ndarray, "z z"] | None
    ga: Int[np.ndarray, "z a"] | None


class Dataset(NamedTuple):
    """Disjoint splits of one process."""

    train: Sequences
    valid: Sequences
    test: Sequences


# (gz, ga, past, action, noise) -> (mean, variance); absent arrays are None
Mechanism: TypeAlias = Callable[[Any, Any, Any, Any, float], tuple[Array, Array]]
GraphSource: TypeAlias = Callable[[int], graphs.Graph] | Literal["random"] | None


class Process(NamedTuple):
    """How the latents move.

    Attributes:
      mechanism: `(gz, ga, past, action, noise) -> (mean, variance)` of the last step's
        latents, for one example; noise is the config's latent variance.
      gz: graph from past latents, a function of z_dim or "random"; None makes T = 1.
      ga: graph from actions, likewise; None is no action.
      interventions: actions are one-hot or all 0, not uniform in [-2, 2]^A.
      weighted: the mechanism sees standard normal weights in place of the ones.
    """

    mechanism: Mechanism
    gz: GraphSource = None
    ga: GraphSource = None
    interventions: bool = False
    weighted: bool = False


@dataclass(frozen=True)
class Config:
    """A synthetic data set; the defaults are the papers'.

    Attributes:
      process: name of the generating process, a key of `PROCESSES`.
      z_dim: latents d.
      x_dim: observed variables D, at least d.
      samples: rows in all; 80 % train, 10 % valid, 10 % test.
      latent_noise: variance of a latent given its parents.
      observation_noise: standard deviation of the noise on standardised x.
      seed: of the process (mixing, mechanism) and of the draws.
      density: edge probability of ActionRandom and TimeRandom.
      graph_seed: number of the graph of ActionRandom and TimeRandom.
      reuse_actions: give valid and test the first actions of train, as the published
        program does by accident; its metrics then see training actions again.
    """

    process: str = "ActionNonDiag"
    z_dim: int = 10
    x_dim: int = 20
    samples: int = 1_000_000
    latent_noise: float = 1e-4
    observation_noise: float = 1e-2
    seed: int = 265542
    density: float = 0.5
    graph_seed: int = 0
    reuse_actions: bool = False


def _phases(inputs: Float[Array, "p"], d: int) -> Float[Array, "d p"]:
    """`omega_i in_p + i` with omega_i = (i + 3) / pi."""
    i = jnp.arange(d, dtype=inputs.dtype)[:, None]
    return (i + 3.0) / jnp.pi * inputs[None, :] + i


def _sum_sines(graph: Float[Array, "d p"], inputs: Float[Array, "p"]) -> Array:
    return jnp.sum(graph * jnp.sin(_phases(inputs, graph.shape[0])), axis=1)


def _wave_variance(graph: Float[Array, "d p"], inputs: Float[Array, "p"]) -> Array:
    """`(0.1 / p) exp(sum_j G_ij cos(omega_i in_j + i))`."""
    d, p = graph.shape
    cosines = jnp.sum(graph * jnp.cos(_phases(inputs, d)), axis=1)
    return 0.1 / p * jnp.exp(cosines)


def _constant(mean: Array, noise: float) -> tuple[Array, Array]:
    return mean, jnp.full_like(mean, noise)


def _action_own_sine(gz, ga, past, action, noise):  # type: ignore[no-untyped-def]
    """`mu_i = sin(a_i)`."""
    return _constant(jnp.sin(action), noise)


def _action_sine(gz, ga, past, action, noise):  # type: ignore[no-untyped-def]
    """`mu_i = sum_l G^a_il sin(omega_i a_l + i)`."""
    return _constant(_sum_sines(ga, action), noise)


def _action_waves(gz, ga, past, action, noise):  # type: ignore[no-untyped-def]
    """The mean of `_action_sine`, and a variance that moves with the action too."""
    return _sum_sines(ga, action), _wave_variance(ga, action)


def _action_linear(gz, ga, past, action, noise):  # type: ignore[no-untyped-def]
    """`mu = A a`, A the weighted graph."""
    return _constant(ga @ action, noise)


def _time_own_sine(gz, ga, past, action, noise):  # type: ignore[no-untyped-def]
    """`mu_i = z_i + sin(z_i) / 2`."""
    return _constant(past + 0.5 * jnp.sin(past), noise)


def _time_sine(gz, ga, past, action, noise):  # type: ignore[no-untyped-def]
    """`mu_i = z_i + sum_j G^z_ij sin(omega_i z_j + i) / 2`."""
    return _constant(past + 0.5 * _sum_sines(gz, past), noise)


def _time_waves(gz, ga, past, action, noise):  # type: ignore[no-untyped-def]
    """The mean of `_time_sine`, and a variance that moves with the past too."""
    return past + 0.5 * _sum_sines(gz, past), _wave_variance(gz, past)


def _time_linear(gz, ga, past, action, noise):  # type: ignore[no-untyped-def]
    """`mu = z + A z / 2`, A the weighted graph."""
    return _constant(past + 0.5 * gz @ past, noise)


def _shift(gz, ga, past, action, noise):  # type: ignore[no-untyped-def]
    """`z_i ~ N(3 sum_l G^a_il a_l, 1)`: interventions that move a mean."""
    return _constant(3.0 * ga @ action, 1.0)


def _time_intervened(gz, ga, past, action, noise):  # type: ignore[no-untyped-def]
    """`_time_sine` plus `sum_l G^a_il a_l cos(omega_i z_i + i_l)`, i_l = l."""
    d, k = ga.shape
    omega = (jnp.arange(d) + 3.0) / jnp.pi
    phase = (omega * past)[:, None] + jnp.arange(k, dtype=past.dtype)[None, :]
    effect = jnp.sum(ga * action[None, :] * jnp.cos(phase), axis=1)
    return _constant(past + 0.5 * _sum_sines(gz, past) + effect, noise)


PROCESSES: dict[str, Process] = {
    "ActionDiag": Process(_action_own_sine, ga=graphs.identity),
    "ActionNonDiag": Process(_action_sine, ga=graphs.ring),
    "ActionDoubleSuffStat": Process(_action_waves, ga=graphs.ring),
    "ActionNoSuffVar": Process(_action_linear, ga=graphs.ring, weighted=True),
    "ActionNoGraphCrit": Process(_action_sine, ga=graphs.pairs),
    "ActionBlockEasy": Process(_action_sine, ga=graphs.action_pairs),
    "ActionBlockHard": Process(_action_sine, ga=graphs.action_pairs_nested),
    "ActionBlockChained": Process(_action_sine, ga=graphs.action_pairs_chained),
    "ActionBlockDoublyNested": Process(
        _action_sine, ga=graphs.action_pairs_doubly_nested
    ),
    "ActionIrregular": Process(_action_sine, ga=graphs.irregular),
    "ActionIrregularComplete": Process(_action_sine, ga=graphs.irregular_complete),
    "ActionRandom": Process(_action_sine, ga="random"),
    "TimeDiag": Process(_time_own_sine, gz=graphs.identity),
    "TimeNonDiag": Process(_time_sine, gz=graphs.lower_triangle),
    "TimeDoubleSuffStat": Process(_time_waves, gz=graphs.lower_triangle),
    "TimeNoSuffVar": Process(_time_linear, gz=graphs.lower_triangle, weighted=True),
    "TimeNoGraphCrit": Process(_time_sine, gz=graphs.halves),
    "TimeBlockEasy": Process(_time_sine, gz=graphs.pairs),
    "TimeBlockHard": Process(_time_sine, gz=graphs.pairs_linked),
    "TimeBlockCrossed": Process(_time_sine, gz=graphs.pairs_crossed),
    "TimeNearlyFull": Process(_time_sine, gz=graphs.nearly_full),
    "TimeRandom": Process(_time_sine, gz="random"),
    "InterventionSingle": Process(_shift, ga=graphs.identity, interventions=True),
    "InterventionPair": Process(_shift, ga=graphs.ring, interventions=True),
    "InterventionTime": Process(
        _time_intervened, gz=graphs.full, ga=graphs.ring, interventions=True
    ),
}
"""Generating processes by name.

Action* have T = 1 and continuous actions, Time* T = 2 and none, Intervention* one-hot
actions of unknown target. In InterventionPair an intervention moves two latents along
one fixed direction, so it is a negative control: theory promises nothing.
"""


def _graph(
    source: GraphSource, config: Config, *, diagonal: bool = False
) -> graphs.Graph | None:
    if source == "random":
        density, seed = config.density, config.graph_seed
        return graphs.bernoulli(config.z_dim, density, seed, diagonal=diagonal)
    return None if source is None else source(config.z_dim)


def make_spec(config: Config) -> Spec:
    """Sizes and true graphs of a data set, without drawing it.

    Raises:
      ValueError: unknown process, z_dim > x_dim, sizes below 1, a z_dim that the graph
        cannot have, too few samples, a negative noise.
    """
    if config.process not in PROCESSES:
        near = difflib.get_close_matches(config.process, PROCESSES, 1, 0.0)[0]
        raise ValueError(
            f"data.process: no process is called {config.process!r}; the nearest name "
            f"is {near!r} (of {', '.join(PROCESSES)})"
        )
    d = config.z_dim
    if d < 1:
        raise ValueError(f"data.z_dim must be at least 1, got {d}")
    if d > config.x_dim:
        raise ValueError(
            f"data.z_dim must not exceed data.x_dim, or no decoder can be injective; "
            f"got z_dim={d} > x_dim={config.x_dim}"
        )
    if config.samples < 10:
        raise ValueError(f"data.samples must be at least 10, got {config.samples}")
    if not (config.latent_noise > 0 and config.observation_noise >= 0):
        raise ValueError(
            "data.latent_noise must be positive and data.observation_noise not "
            f"negative, got {config.latent_noise} and {config.observation_noise}"
        )
    process = PROCESSES[config.process]
    gz, ga = _graph(process.gz, config, diagonal=True), _graph(process.ga, config)
    return Spec(
        x_dim=config.x_dim,
        z_dim=d,
        a_dim=0 if ga is None else ga.shape[1],
        steps=1 if gz is None else 2,
        gz=gz,
        ga=ga,
    )


def _orthogonal(key: PRNGKey, rows: int, cols: int) -> Float[Array, "r c"]:
    """Orthonormal rows, scaled as the initialisation of a leaky-ReLU layer."""
    q, _ = jnp.linalg.qr(jax.random.normal(key, (rows, cols)).T)
    gain = (2 / (1 + LEAKY_SLOPE**2)) ** 0.5
    return q.T * gain * (2 / (rows + cols)) ** 0.5


def mixing_weights(key: PRNGKey, z_dim: int, x_dim: int) -> list[Float[Array, "r c"]]:
    """Weights of f: four layers with orthogonal rows, z_dim -> x_dim -> ... -> x_dim.

    Rows are orthonormal times `sqrt(2 / (1 + .2^2)) sqrt(2 / (rows + columns))`.
    """
    sizes = (z_dim, x_dim, x_dim, x_dim, x_dim)
    keys = jax.random.split(key, 4)
    return [
        _orthogonal(k, rows, cols)
        for k, rows, cols in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def mix(
    weights: list[Float[Array, "r c"]], z: Float[Array, "*n z"]
) -> Float[Array, "*n x"]:
    """`x = lrelu(lrelu(lrelu(z W1) W2) W3) W4`, slope .2, z_dim <= x_dim."""
    for weight in weights[:-1]:
        z = jax.nn.leaky_relu(jnp.matmul(z, weight, precision="highest"), LEAKY_SLOPE)
    return jnp.matmul(z, weights[-1], precision="highest")


def draw_actions(key: PRNGKey, spec: Spec, n: int, *, interventions: bool) -> Array:
    """Actions U(-2, 2)^A, or one of A + 1 regimes as a one-hot (0: observational)."""
    if interventions:
        regime = jax.random.randint(key, (n,), 0, spec.a_dim + 1)
        return jax.nn.one_hot(regime - 1, spec.a_dim)
    shape = (n, spec.a_dim)
    return jax.random.uniform(key, shape, minval=-ACTION_RANGE, maxval=ACTION_RANGE)


class _Weights(NamedTuple):
    """Graphs as the mechanism sees them and the mixing network."""

    gz: Array | None
    ga: Array | None
    mixing: list[Array]


def _draw_weights(key: PRNGKey, process: Process, spec: Spec) -> _Weights:
    mixing_key, z_key, a_key = jax.random.split(key, 3)

    def seen(key: PRNGKey, graph: np.ndarray | None) -> Array | None:
        if graph is None:
            return None
        ones = jnp.asarray(graph, float)
        return ones * jax.random.normal(key, ones.shape) if process.weighted else ones

    mixing = mixing_weights(mixing_key, spec.z_dim, spec.x_dim)
    return _Weights(seen(z_key, spec.gz), seen(a_key, spec.ga), mixing)


def _draw_latents(
    key: PRNGKey, process: Process, weights: _Weights, spec: Spec, a: Array | None,
    n: int, noise: float,
) -> Float[Array, "n t z"]:  # fmt: skip
    past_key, noise_key = jax.random.split(key)
    past = jax.random.normal(past_key, (n, spec.z_dim)) if spec.steps == 2 else None
    last = partial(process.mechanism, weights.gz, weights.ga)
    axes = (None if past is None else 0, None if a is None else 0, None)
    mean, variance = jax.vmap(last, in_axes=axes)(past, a, noise)
    now = mean + jnp.sqrt(variance) * jax.random.normal(noise_key, mean.shape)
    return jnp.stack([now] if past is None else [past, now], axis=1)


def _split_sizes(samples: int) -> tuple[int, int, int]:
    held_out = samples // 10
    return samples - 2 * held_out, held_out, held_out


@partial(jax.jit, static_argnums=1)
def _draw(key: PRNGKey, config: Config) -> Dataset:
    spec, process = make_spec(config), PROCESSES[config.process]
    weights_key, *split_keys = jax.random.split(key, 4)
    weights = _draw_weights(weights_key, process, spec)

    latents, noises = [], []
    actions: list[Array | None] = []
    for split_key, n in zip(split_keys, _split_sizes(config.samples), strict=True):
        action_key, latent_key, noise_key = jax.random.split(split_key, 3)
        a = None
        if spec.a_dim:
            a = draw_actions(action_key, spec, n, interventions=process.interventions)
            if config.reuse_actions and actions and actions[0] is not None:
                a = actions[0][:n]
        z = _draw_latents(latent_key, process, weights, spec, a, n, config.latent_noise)
        latents.append(z)
        actions.append(a)
        shape = (n, spec.steps, spec.x_dim)
        noises.append(config.observation_noise * jax.random.normal(noise_key, shape))

    # Training statistics for all splits: held-out rows must not see themselves.
    clean = [mix(weights.mixing, z) for z in latents]
    mean, std = clean[0].mean((0, 1)), clean[0].std((0, 1))
    seen = [
        (x - mean[None, None]) / std[None, None] + noise
        for x, noise in zip(clean, noises, strict=True)
    ]
    return Dataset(*map(Sequences, seen, actions, latents))


def draw(config: Config) -> tuple[Spec, Dataset]:
    """Draws a data set on the default device.

    The mechanism and the mixing belong to the set; each split has its own actions,
    latents and noise. x is standardised by the training split, then N(0,
    observation_noise^2) is added.

    Raises:
      ValueError: as `make_spec`.
    """
    return make_spec(config), _draw(jax.random.key(config.seed), config)


def sampler(data: Sequences, batch: int) -> Callable[[PRNGKey], Sequences]:
    """`key -> batch` of uniformly drawn rows; the data stay arguments of the program.

    Args:
      data: the training split.
      batch: rows in a batch.

    Raises:
      ValueError: NaN or infinite data, arrays of the wrong rank or with different
        numbers of rows, batch below 1.
    """
    check_sequences(data)
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    return Partial(bind(_draw_batch, batch), data)


def _draw_batch(batch: int, data: Sequences, key: PRNGKey) -> Sequences:
    rows = jax.random.randint(key, (batch,), 0, data.x.shape[0])
    return jax.tree.map(lambda a: a[rows], data)


def check_sequences(data: Sequences) -> None:
    """Raises ValueError unless all arrays are finite and have matching shapes."""
    n = data.x.shape[0] if data.x.ndim else 0
    wanted = {"x": ("n, t, x", 3), "a": ("n, a", 2), "z": ("n, t, z", 3)}
    for name, value in data._asdict().items():
        if value is None:
            continue
        shape, ndim = wanted[name]
        if value.ndim != ndim or value.shape[0] != n or n == 0:
            raise ValueError(
                f"data.{name} must have shape [{shape}] with the n = {n} rows of "
                f"data.x, at least one; got {value.shape}"
            )
        if not bool(jnp.isfinite(value).all()):
            raise ValueError(
                f"data.{name} holds NaN or infinite values; remove those rows first"
            )

"""Sparse mixing with changing domains: CG-VAE.

Latents are independent given a domain, their distributions change from domain to
domain, and every observed variable depends on few of them. A VAE whose prior is a
monotone flow for every latent and domain, and whose decoder is pressed towards a sparse
Jacobian, looks for them; the encoder never sees the domain.
`identifiability.mixing_report` says what theory promises for a mixing pattern and a
number of domains. The adversarial sibling for images is `sparse_mixing_gan`.

Source: Li et al. 2025, "Synergy Between Sufficient Changes and Sparse Mixing Procedure
for Disentangled Representation Learning" (arXiv 2503.00639). No code of its VAE is
public, and its tables and settings were not available: this is a reconstruction, and
nothing here reproduces a table of it.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from jaxdis import gaussian, identifiability, losses, metrics, monotone, nets, priors
from jaxdis.data import domains
from jaxdis.data.domains import Batch, Domains, Spec, load, make_spec, sampler
from jaxdis.optimise import in_one_pass, minimise
from jaxdis.types import Metrics, Params, Preset, PRNGKey, Scalar, System, TrainState

__all__ = [
    "PRESETS",
    "Config",
    "Hyper",
    "cgvae_loss",
    "check",
    "default_hyper",
    "load",
    "make",
    "make_spec",
    "sampler",
]

LOG_VAR_LIMIT = 10.0
PRIOR_WIDTH = 32
LAST_LAYER = 0.01  # flows start near the identity
SHOWN_ROWS = 450


@dataclass(frozen=True)
class Config:
    """What is compiled in; the defaults are the quickstart's.

    Attributes:
      z_dim: latents n of the model; 0 for as many as the data have.
      hidden: widths of encoder and decoder.
      prior: the flow of a latent in a domain, as `family` of `priors.domain_noise`.
      bins: of the splines.
      embedding: size of a domain's learned vector, from which a network makes the
        parameters of its flows.
      jac: which Jacobian the penalty sees, as `mode` of `losses.jacobian_l1`.
      columns: random columns of "columns".
      difference: step of "differences".
      jac_scale: weights of the Jacobian's columns: "std", the latent's standard
        deviation over the batch, through which the gradient flows; "none", 1. With
        "none" latents grow until the penalty is small, and the mixing stays as it was.
      batch: samples in a step.
      precision: of matrix products; densities and losses are float32.
    """

    z_dim: int = 0
    hidden: tuple[int, ...] = (32, 32, 32)
    prior: priors.Family = "rqs"
    bins: int = 8
    embedding: int = 8
    jac: losses.JacobianMode = "full"
    columns: int = 1
    difference: float = 1e-3
    jac_scale: Literal["std", "none"] = "std"
    batch: int = 256
    precision: Literal["highest", "high", "default"] = "highest"


class Hyper(NamedTuple):
    """What can be swept in one program; every field is a scalar array.

    Attributes:
      learning_rate: of AdamW, at the start.
      decay_steps: steps in which it falls to 0 along a cosine.
      weight_decay: of AdamW.
      alpha: weight of the Jacobian's sparsity.
      ramp: steps in which alpha rises from 0 along a line.
      beta: weight of the divergence from the prior.
      conditioning: 1 for a prior of every domain; 0 takes the changes between domains
        away, as it multiplies the flows' parameters, and those of splines and affine
        maps are then the identity: N(0, 1) for all.
    """

    learning_rate: Scalar
    decay_steps: Scalar
    weight_decay: Scalar
    alpha: Scalar
    ramp: Scalar
    beta: Scalar
    conditioning: Scalar


class Prior(NamedTuple):
    """What the flows of all domains are made of.

    Attributes:
      embedding: one row a domain.
      network: from a row to the parameters of a domain's flows.
      shared: what deep sigmoidal flows share, None for other families.
    """

    embedding: Float[Array, "d e"]
    network: Params
    shared: monotone.Shared | None


class ModelParams(NamedTuple):
    """Parameters of one seed."""

    encoder: Params
    decoder: Params
    prior: Prior


class Extra(NamedTuple):
    """What the gradient does not move.

    Attributes:
      world: which of the data's mixings the seed learns.
      conditioning: for the report.
    """

    world: Int[Array, ""]
    conditioning: Float[Array, ""]


class Terms(NamedTuple):
    """The parts of the loss, unweighted, means over the batch."""

    reconstruction: Float[Array, ""]
    kl: Float[Array, ""]
    sparsity: Float[Array, ""]


def check(config: Config, spec: Spec) -> None:
    """Raises ValueError, naming the field, unless the config fits the data."""
    if spec.x_dim == 0:
        raise ValueError(domains.NO_FILE)
    for name in ("bins", "embedding", "batch"):
        if getattr(config, name) < 1:
            raise ValueError(
                f"config.{name} must be at least 1, got {getattr(config, name)}"
            )
    if any(width < 1 for width in config.hidden):
        raise ValueError(f"config.hidden must be positive widths, got {config.hidden}")
    known: dict[str, tuple[str, ...]] = {
        "jac": get_args(losses.JacobianMode),
        "jac_scale": ("std", "none"),
        "prior": get_args(priors.Family),
    }
    for name, values in known.items():
        if getattr(config, name) not in values:
            raise ValueError(
                f"config.{name} must be one of {', '.join(map(repr, values))}, got "
                f"{getattr(config, name)!r}"
            )
    n = _z_dim(config, spec)
    if n < 1 or n < spec.z_dim:
        raise ValueError(
            "config.z_dim must be at least 1 and the number of the data's latents, "
            f"{spec.z_dim or 'which is not known'}; got {config.z_dim}"
        )
    if not 1 <= config.columns <= n:
        raise ValueError(
            f"config.columns must be 1 to {n}, the number of latents, got "
            f"{config.columns}"
        )
    if not config.difference > 0:
        raise ValueError(f"config.difference must be positive, got {config.difference}")
    if config.batch == 1 and config.jac_scale == "std":
        raise ValueError(
            "config.jac_scale='std' needs config.batch of at least 2: latents of a "
            "single sample have no variance"
        )


def _z_dim(config: Config, spec: Spec) -> int:
    return config.z_dim or spec.z_dim


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """AdamW 2e-3, alpha .03 after a quarter of the steps, beta .01."""
    return Hyper(
        learning_rate=2e-3,
        decay_steps=float(steps),
        weight_decay=1e-4,
        alpha=0.03,
        ramp=0.25 * steps,
        beta=0.01,
        conditioning=1.0,
    )


class _Networks(NamedTuple):
    encoder: nn.Module
    decoder: nn.Module
    prior: nn.Module


def _networks(config: Config, spec: Spec) -> _Networks:
    n = _z_dim(config, spec)
    parameters = n * priors.parameter_count(config.prior, config.bins)
    return _Networks(
        nets.MLP(config.hidden, 2 * n, config.precision),
        nets.MLP(config.hidden, spec.x_dim, config.precision),
        nets.MLP((PRIOR_WIDTH,), parameters, config.precision),
    )


def init_params(key: PRNGKey, config: Config, spec: Spec) -> ModelParams:
    """Initial parameters of one seed."""
    keys = jax.random.split(key, 5)
    networks, n = _networks(config, spec), _z_dim(config, spec)
    embedding = jax.random.normal(keys[2], (spec.domains, config.embedding))
    network = networks.prior.init(keys[3], embedding)
    small = jax.tree.map(lambda a: LAST_LAYER * a, network["params"]["Dense_1"])
    network = {"params": network["params"] | {"Dense_1": small}}
    shared = monotone.init_shared(keys[4]) if config.prior == "ddsf" else None
    return ModelParams(
        networks.encoder.init(keys[0], jnp.zeros((1, spec.x_dim))),
        networks.decoder.init(keys[1], jnp.zeros((1, n))),
        Prior(embedding, network, shared),
    )


def posterior(
    params: ModelParams, config: Config, spec: Spec, x: Float[Array, "*b m"]
) -> tuple[Float[Array, "*b n"], Float[Array, "*b n"]]:
    """Mean and log variance of q(z | x); the log variance is kept in [-10, 10]."""
    out = nets.apply(_networks(config, spec).encoder, params.encoder, x)
    mean, log_var = jnp.split(out, 2, axis=-1)
    return mean, jnp.clip(log_var, -LOG_VAR_LIMIT, LOG_VAR_LIMIT)


def decode(
    params: ModelParams, config: Config, spec: Spec, z: Float[Array, "*b n"]
) -> Float[Array, "*b m"]:
    """The decoder's x^."""
    return nets.apply(_networks(config, spec).decoder, params.decoder, z)


def prior_table(
    params: ModelParams, config: Config, spec: Spec, conditioning: Scalar = 1.0
) -> Float[Array, "d n p"]:
    """Parameters of the flows of all domains and latents, times `conditioning`."""
    network = _networks(config, spec).prior
    table = nets.apply(network, params.prior.network, params.prior.embedding)
    return conditioning * table.reshape(spec.domains, _z_dim(config, spec), -1)


def log_prior(
    params: ModelParams,
    config: Config,
    spec: Spec,
    z: Float[Array, "b n"],
    u: Int[Array, "b"],
    conditioning: Scalar = 1.0,
) -> Float[Array, "b"]:
    """`log p(z | u)` in nats."""
    return priors.domain_log_prob(
        prior_table(params, config, spec, conditioning),
        z,
        u,
        family=config.prior,
        shared=params.prior.shared,
    )


def _draw(
    key: PRNGKey, mean: Float[Array, "b n"], log_var: Float[Array, "b n"]
) -> tuple[Float[Array, "b n"], Float[Array, "b"]]:
    """z^ ~ q(z | x) and `log q(z^ | x)`."""
    noise = jax.random.normal(key, mean.shape)
    z = mean + jnp.exp(0.5 * log_var) * noise
    log_q = -0.5 * jnp.sum(noise**2 + log_var + gaussian.LOG_2PI, -1)
    return z, log_q


def _column_scale(config: Config, z: Float[Array, "b n"]) -> Float[Array, "n"]:
    if config.jac_scale == "none":
        return jnp.ones(z.shape[-1])
    # A latent that has collapsed to a point has a variance of 0, where a root has no
    # derivative: the floor is far below any that is alive.
    return jnp.sqrt(jnp.var(z, 0) + 1e-12)


def evidence(
    params: ModelParams,
    config: Config,
    spec: Spec,
    x: Float[Array, "b m"],
    u: Int[Array, "b"],
    hyper: Hyper,
    key: PRNGKey,
) -> tuple[Float[Array, ""], tuple[Array, Array, Float[Array, "b n"]]]:
    """The objective without sparsity, its two parts, and the latents drawn."""
    z, log_q = _draw(key, *posterior(params, config, spec, x))
    error = jnp.sum((x - decode(params, config, spec, z)) ** 2, -1).mean()
    log_p = log_prior(params, config, spec, z, u, hyper.conditioning)
    kl = jnp.mean(log_q - log_p)
    return error + hyper.beta * kl, (error, kl, z)


def cgvae_loss(
    params: ModelParams,
    config: Config,
    spec: Spec,
    x: Float[Array, "b m"],
    u: Int[Array, "b"],
    hyper: Hyper,
    key: PRNGKey,
) -> tuple[Float[Array, ""], tuple[Terms, Float[Array, "b n"]]]:
    """The objective, minimised:

        L   = mean_b |x - x^|^2 + beta KL + alpha L_s
        KL  = mean_b log q(z^ | x) - log p(z^ | u),  one draw z^ ~ q(z | x)
        L_s = mean_b sum_kj |d x^_k / d z^_j| std_j  (`losses.jacobian_l1`)

    Args:
      params, config, spec: model.
      x, u: observations and their domains.
      hyper: its alpha is taken as it is, without a ramp.
      key: of the draw, and of the Jacobian's columns.

    Returns:
      L, its parts, and the latents drawn.

    Source: Li et al. 2025 (arXiv 2503.00639), CG-VAE; the formula is our reading of it.
    """
    draw_key, column_key = jax.random.split(key)
    value, (error, kl, z) = evidence(params, config, spec, x, u, hyper, draw_key)
    sparsity = losses.jacobian_l1(
        partial(decode, params, config, spec),
        z,
        _column_scale(config, z),
        mode=config.jac,
        columns=config.columns,
        difference=config.difference,
        key=column_key,
    )
    return value + hyper.alpha * sparsity, (Terms(error, kl, sparsity), z)


def optimiser(hyper: Hyper) -> optax.GradientTransformation:
    """AdamW with a rate that falls to 0 along a cosine."""

    def rate(count: Array) -> Array:
        done = jnp.minimum(count / jnp.maximum(hyper.decay_steps, 1.0), 1.0)
        return hyper.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * done))

    return in_one_pass(optax.adamw(rate, weight_decay=hyper.weight_decay))


def make(config: Config, spec: Spec) -> System:
    """Builds the system for observations of the given size.

    A seed s learns the mixing `s mod worlds` of the data (for other keys: their last
    word), which its state remembers.

    Raises:
      ValueError: a config that does not fit the data; see `check`.
    """
    check(config, spec)

    def init(key: PRNGKey, hyper: Hyper) -> TrainState:
        params = init_params(key, config, spec)
        world = (jax.random.key_data(key)[-1] % spec.worlds).astype(jnp.int32)
        extra = Extra(world, jnp.asarray(hyper.conditioning, float))
        state = optimiser(hyper).init(params)
        return TrainState(params, state, extra, jnp.zeros((), int))

    def loss(
        params: ModelParams, state: TrainState, batch: Batch, hyper: Hyper, key: PRNGKey
    ) -> tuple[Array, tuple[Extra, Metrics]]:
        risen = jnp.minimum(1.0, state.step / jnp.maximum(hyper.ramp, 1.0))
        hyper = hyper._replace(alpha=hyper.alpha * risen)
        x = batch.data.worlds_x[batch.rows, state.extra.world]
        u = batch.data.u[batch.rows]
        value, (terms, z) = cgvae_loss(params, config, spec, x, u, hyper, key)
        figures = {**terms._asdict(), "latent_std": jnp.std(z, 0).mean()}
        return value, (state.extra, jax.lax.stop_gradient(figures))

    def encode(params: ModelParams, x: Array) -> Array:
        return posterior(params, config, spec, x)[0]

    return System(
        init, minimise(loss, optimiser), encode, partial(report, config, spec)
    )


def _blocks(spec: Spec) -> Bool[np.ndarray, "n n"] | None:
    """Which codes a latent may be a function of; None if each has its own."""
    if spec.mask is None:
        return None
    with jax.ensure_compile_time_eval():  # theory is of the host
        report = identifiability.mixing_report(np.asarray(spec.mask), spec.domains)
    return None if report.identified.all() else report.block


def report(
    config: Config, spec: Spec, state: TrainState, batch: Domains, key: PRNGKey
) -> Metrics:
    """Scores of one seed on held-out rows of its world.

    Returns:
      `reconstruction`, `kl`; of the decoder `jac_l1` = mean_b sum |J|, `jac_std_l1` =
      mean_b sum |J_kj| std_j, which no stretching of latents changes, and `latent_std`,
      the mean standard deviation of the posterior means; where the true latents are
      known `mcc`, `mcc_spearman`, `r2`, `dead`, and the floor `mcc_observed`, which the
      observations reach as they are; where the true mask is, `wrong_entries` of the
      learned support, and, if theory leaves blocks of latents (`mixing_report` of the
      mask and the number of domains), `block_r2` of these. Arrays for pictures:
      `jacobian` = mean_b |J_kj| std_j and `correlation` with the latents matched to the
      true ones, `latents` of some rows, their `true_domains` and the latents they were
      made of, `latents_true`.
    """
    world, conditioning = state.extra
    x, u, params = batch.worlds_x[:, world], batch.u, state.params
    mean, log_var = posterior(params, config, spec, x)
    z, log_q = _draw(key, mean, log_var)
    error = jnp.sum((x - decode(params, config, spec, z)) ** 2, -1)
    jacobian = losses.decoder_jacobian(partial(decode, params, config, spec), mean)
    size, scale = jnp.abs(jacobian).mean(0), jnp.std(mean, 0)
    strength = size * scale[None]
    figures: Metrics = {
        "reconstruction": error.mean(),
        "kl": jnp.mean(log_q - log_prior(params, config, spec, z, u, conditioning)),
        "jac_l1": size.sum(),
        "jac_std_l1": strength.sum(),
        "latent_std": scale.mean(),
        "dead": metrics.dead(mean),
    }
    order = jnp.arange(mean.shape[-1])
    shown = slice(SHOWN_ROWS)
    if batch.worlds_z is not None:
        true = batch.worlds_z[:, world]
        correlation = metrics.correlation_matrix(true, mean)
        order = metrics.assign(correlation)
        signs = jnp.sign(jnp.sum((true - true.mean(0)[None]) * mean[:, order], 0))
        figures |= {
            "mcc": metrics.mcc(true, mean),
            "mcc_spearman": metrics.mcc(true, mean, kind="spearman"),
            "mcc_observed": metrics.mcc(true, x),
            "r2": metrics.r2(true, mean),
            "correlation": correlation[:, order],
            "latents": (mean[:, order] * signs[None])[shown],
            "latents_true": true[shown],
        }
        if (blocks := _blocks(spec)) is not None:
            figures["block_r2"] = metrics.block_r2(true, mean, jnp.asarray(blocks))
    else:
        figures["latents"] = mean[shown]
    figures |= {"jacobian": strength[:, order], "true_domains": u[shown]}
    if spec.mask is not None:
        figures["wrong_entries"] = identifiability.support_errors(
            jnp.asarray(spec.mask), identifiability.learned_support(strength), order
        )
    return figures


_SCORES = (
    "mcc", "mcc_spearman", "mcc_observed", "r2", "block_r2", "wrong_entries",
    "jac_std_l1", "latent_std", "reconstruction", "kl",
)  # fmt: skip
# The penalty off and on.
_ABLATION = ({"alpha": 0.0}, {"alpha": 0.03})


def _toy(mask: domains.Mask, count: int, expects: str) -> Preset:
    """Twice as many observed variables as latents."""
    return Preset(
        config=Config(),
        data=domains.Config(mask=mask, domains=count, tall=True),
        steps=4_000,
        hyper={},
        points=_ABLATION,
        source="this library",
        cost="1 min for 2 x 8 seeds on 2 cores",
        expects=expects,
        seeds=8,
        chunk=1_000,
        scores=_SCORES,
    )


PRESETS: dict[str, Preset] = {
    "quickstart": _toy("ring", 9, "MCC .974, no penalty .808, observations .955"),
    "nested": _toy("nested", 9, "MCC .919, no penalty .800"),
    # Blocks of two latents: sparsity leaves the blocks, five domains part them.
    "block": _toy("block", 5, "MCC .939, no penalty .877"),
    # The control: there is no sparsity to find.
    "dense": _toy("dense", 3, "MCC .838, no penalty .772"),
    # Half of the latents change; mixed by orthogonal matrices, square.
    "dense_shift": _toy("dense", 9, "")._replace(
        data=domains.Config(name="dense_shift", domains=9),
        expects="MCC .69 with and without the penalty",
    ),
    # Your own observations and domains: `--data.file`.
    "table": Preset(
        config=Config(),
        data=domains.Config(name="table"),
        steps=4_000,
        hyper={},
        points=_ABLATION,
        source="this library",
        cost="depends on the file",
        expects="depends on the file",
        seeds=8,
        chunk=1_000,
        scores=_SCORES,
    ),
}

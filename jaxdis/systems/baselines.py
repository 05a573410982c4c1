"""References for the encoder's scores: what no learning and full supervision reach.

Both have the encoder of mechanism sparsity and nothing else, so that a score lies
between that of random weights and that of regression on the true latents.

Source: Lachapelle et al. 2022, section 5 ("random" and "supervised").
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxdis import nets
from jaxdis.data import synthetic
from jaxdis.data.synthetic import Sequences, Spec, make_spec, sampler
from jaxdis.optimise import minimise
from jaxdis.systems.mechanism_sparsity import latent_scores
from jaxdis.types import Metrics, Params, Preset, PRNGKey, Scalar, System, TrainState

__all__ = [
    "PRESETS",
    "Config",
    "Hyper",
    "default_hyper",
    "load",
    "make",
    "make_spec",
    "sampler",
]

load = synthetic.draw


@dataclass(frozen=True)
class Config:
    """What is compiled in.

    Attributes:
      method: "supervised" regresses the true latents; "random" leaves the encoder as
        it was drawn.
      z_dim: codes; the data's latents, if supervised.
      encoder: hidden widths.
      batch: rows in a step.
      precision: of matrix products.
    """

    method: Literal["supervised", "random"] = "supervised"
    z_dim: int = 10
    encoder: tuple[int, ...] = (512,) * 6
    batch: int = 1024
    precision: Literal["highest", "high", "default"] = "highest"


class Hyper(NamedTuple):
    """What can be swept.

    Attributes:
      learning_rate: of Adam.
    """

    learning_rate: Scalar


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """Adam 5e-4, as published."""
    return Hyper(learning_rate=5e-4)


def make(config: Config, spec: Spec) -> System:
    """Builds a reference: `loss = mean (f(x^T)_i - z_i^T)^2` over the last step, or 0.

    Raises:
      ValueError: supervised with another number of codes than latents.
    """
    if config.method == "supervised" and config.z_dim != spec.z_dim:
        raise ValueError(
            f"config.z_dim must be the data's z_dim = {spec.z_dim} for "
            f"method='supervised', got {config.z_dim}"
        )
    network = nets.MLP(config.encoder, 2 * config.z_dim, config.precision)
    weight = 1.0 if config.method == "supervised" else 0.0

    def encode(params: Params, x: Float[Array, "*b x"]) -> Float[Array, "*b z"]:
        return jnp.split(nets.apply(network, params, x), 2, axis=-1)[0]

    def optimiser(hyper: Hyper) -> optax.GradientTransformation:
        return optax.adam(hyper.learning_rate)

    def init(key: PRNGKey, hyper: Hyper) -> TrainState:
        params = network.init(key, jnp.zeros(spec.x_dim))
        return TrainState(params, optimiser(hyper).init(params), (), jnp.zeros((), int))

    def loss(
        params: Params, state: TrainState, batch: Sequences, hyper: Hyper, key: PRNGKey
    ) -> tuple[Array, tuple[tuple[()], Metrics]]:
        error = encode(params, batch.x[:, -1]) - batch.z[:, -1]
        return weight * jnp.mean(error**2), ((), {})

    def report(state: TrainState, batch: Sequences, key: PRNGKey) -> Metrics:
        return latent_scores(spec, batch.z, encode(state.params, batch.x))[0]

    return System(init, minimise(loss, optimiser), encode, report)


def _supervised(process: str, steps: int, hours: str, expects: str) -> Preset:
    return Preset(
        config=Config(),
        data=synthetic.Config(process=process),
        steps=steps,
        hyper={},
        source="authors' log 28jul2023",
        cost=f"{hours} h a seed (theirs, GPU)",
        expects=expects,
        chunk=5_000,
    )


def _random(preset: Preset, expects: str) -> Preset:
    return preset._replace(
        config=replace(preset.config, method="random"),
        steps=1,
        cost="seconds",
        expects=expects,
    )


_QUICKSTART = Preset(
    config=Config(z_dim=5, encoder=(64,) * 3, batch=256),
    data=synthetic.Config(z_dim=5, x_dim=10, samples=100_000),
    steps=10_000,
    hyper={"learning_rate": 2e-3},
    source="this library",
    cost="1 min for 8 seeds on 2 cores",
    expects="MCC .998",
    seeds=8,
)

_TOP = "R_con .999, MCC .999"

PRESETS: dict[str, Preset] = {
    "quickstart_supervised": _QUICKSTART,
    "quickstart_random": _random(_QUICKSTART, "MCC .44"),
    # The authors' logged means of five seeds.
    "ActionBlockEasy_supervised": _supervised("ActionBlockEasy", 300_000, "1.4", _TOP),
    "ActionBlockHard_supervised": _supervised("ActionBlockHard", 300_000, "1.6", _TOP),
    "TimeBlockEasy_supervised": _supervised("TimeBlockEasy", 200_000, "0.8", _TOP),
    "TimeBlockHard_supervised": _supervised("TimeBlockHard", 200_000, "0.8", _TOP),
}

PRESETS |= {
    f"{process}_random": _random(PRESETS[f"{process}_supervised"], expects)
    for process, expects in {
        "ActionBlockEasy": "R_con .469, MCC .405",
        "ActionBlockHard": "R_con .476, MCC .397",
        "TimeBlockEasy": "R_con .401, MCC .362",
        "TimeBlockHard": "R_con .413, MCC .362",
    }.items()
}

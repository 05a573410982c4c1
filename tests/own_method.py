"""A method as a user would write one, of a few milliseconds: a linear autoencoder."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdis import nets
from jaxdis.data.preparation import apply, measure
from jaxdis.data.rows import batches
from jaxdis.optimise import minimise
from jaxdis.types import (
    Label,
    Method,
    Names,
    Preset,
    Rows,
    Score,
    Spec,
    Splits,
    System,
    TrainState,
)

WIDTH = 3
NAMES = Names(x=("length", "width", "mass"), y=(Label("price"),))


class Hyper(NamedTuple):
    learning_rate: float = 0.05
    penalty: float = 0.0


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
      z_dim: the number of codes; 0 for as many as columns.
      batch: the rows of a step.
      errors: the error that is reported after each step, in turns.
      scaled: any tuple of tuples.
    """

    z_dim: int = 2
    batch: int = 8
    errors: tuple[float, ...] = (64.0, 16.0, 30.0, 31.0, 32.0)
    scaled: tuple[tuple[int, float], ...] = ((1, 0.5),)


@dataclass(frozen=True)
class Table:
    """Rows of a table, far from mean 0 and deviation 1.

    Attributes:
      rows: how many.
      known: whether the true latents are.
    """

    rows: int = 40
    known: bool = False

    def spec(self) -> Spec:
        z_dim = 2 if self.known else 0
        return Spec((WIDTH,), z_dim=z_dim, labels=NAMES.y, rows=self.rows - 16)

    def load(self) -> Splits:
        rows = draw(self.rows, known=self.known)
        preparation = measure(jax.tree.map(lambda a: a[16:], rows))
        rows = apply(preparation, rows)
        part = [
            jax.tree.map(lambda a, at=at: jnp.asarray(a[at]), rows._replace(names=None))
            for at in (slice(16, None), slice(8), slice(8, 16))
        ]
        return Splits(*part, preparation=preparation)


def draw(n: int, seed: int = 0, *, known: bool = False) -> Rows:
    """Rows as a user has them."""
    z = np.random.default_rng(seed).normal(size=(n, 2))
    x = z @ [[1.0, 2.0, -1.0], [0.5, 0.0, 1.0]] * [10, 1, 0.1] + [100, 5, 0]
    y = 1000 + 7 * z[:, :1]
    return Rows(x, y=y, z=z.astype(np.float32) if known else None, names=NAMES)


def make(config, spec, *, encoder=None, decoder=None, optimiser=None, loss=None):
    """A linear autoencoder whose first code also predicts the label."""
    width = spec.shape[0]
    linear = (
        lambda key, x: jax.random.normal(key, (x.shape[-1], config.z_dim)) / 3,
        lambda params, x: x @ params,
    )
    encode = nets.network(encoder or linear, "encoder")
    back = (
        lambda key, z: jax.random.normal(key, (config.z_dim, width)) / 3,
        lambda params, z: z @ params,
    )
    decode = nets.network(decoder or back, "decoder")
    penalised = loss or distance

    def objective(params, state, batch, hyper, key):
        z = encode.apply(params["encoder"], batch.x)
        value = penalised(batch.x, decode.apply(params["decoder"], z))
        value += hyper.penalty * (z**2).mean()
        return value, (state.extra, {"error": value})

    def rule(hyper):
        if optimiser is not None:
            return optimiser
        return optax.sgd(hyper.learning_rate)

    def init(key, hyper):
        one, two = jax.random.split(key)
        params = {
            "encoder": encode.init(one, jnp.zeros(width)),
            "decoder": decode.init(two, jnp.zeros(config.z_dim)),
        }
        return TrainState(params, rule(hyper).init(params), (), jnp.zeros((), int))

    def report(state, batch, key):
        errors = jnp.array(config.errors)
        known = batch.z is not None
        return {
            "mcc": jnp.where(known, 0.5, jnp.nan),
            "error": errors[(state.step - 1) % len(errors)],
            "distance": distance(
                batch.x,
                decode.over(
                    state.params["decoder"],
                    encode.over(state.params["encoder"], batch.x, 1),
                    1,
                ),
            ),
            "graph": jnp.eye(config.z_dim),
            "weights": jnp.ones((1, config.z_dim)),
        }

    return System(
        init=init,
        step=minimise(objective, rule),
        encode=lambda params, x: encode.over(params["encoder"], x, 1),
        decode=lambda params, z: decode.over(params["decoder"], z, 1),
        report=report,
        predict=lambda state, rows: encode.over(state.params["encoder"], rows.x, 1)[
            ..., :1
        ],
        predicts="y",
    )


def distance(x, y):
    """The mean squared error."""
    return ((x - y) ** 2).mean()


METHOD = Method(
    name="own_method",
    citation="@misc{own}",
    needs=("x",),
    make=make,
    hyper=Hyper,
    default_hyper=lambda config, spec, steps: Hyper(),
    batches=batches,
    presets={
        "table": Preset(
            config=Config(),
            data=Table(),
            steps=5,
            source="a test",
            cost="nothing",
            seeds=3,
            chunk=1,
        ),
        "own": Preset(
            config=Config(z_dim=0),
            data=Table(rows=3_016),
            steps=0,
            source="a test",
            cost="nothing",
            seeds=2,
            chunk=1_000,
        ),
    },
    scores=lambda config, spec: (
        Score("mcc", "MCC", "higher", (0, 1), truth=True),
        Score("error", "Error", "lower"),
        Score("distance", "Distance", "lower"),
    ),
    arrays={"graph": "seed child parent", "weights": "seed task feature"},
    graphs=("graph",),
    heads=("weights",),
    sized=lambda config, spec: (
        config if config.z_dim else Config(z_dim=spec.shape[0], batch=config.batch)
    ),
)

# The same with a preset that has points of its own.
SWEPT = METHOD._replace(
    presets={
        "points": METHOD.presets["table"]._replace(
            points=(
                {"penalty": 0.0},
                {"penalty": 0.1},
                {"penalty": 0.1, "learning_rate": 0.1},
            )
        )
    }
)

"""Small settings: a toy with known latents, and digits."""

from jaxdis.data.mixed_factors import MixedFactors
from jaxdis.data.own import OwnFile
from jaxdis.data.sequences.stills import DigitSequences
from jaxdis.data.sprites import Sprites
from jaxdis.systems.beta_vae.config import Config
from jaxdis.types import Expectation, Preset

__all__ = ["PRESETS"]

_SOURCE = "this library"
_LATENTS = ("mcc", "r2", "dci_d", "elbo", "kl", "dead")
_BOUND = ("elbo", "reconstruction", "kl", "dead")

_DIGITS = Preset(
    config=Config(z_dim=10, channels=8, likelihood="bernoulli", batch=8),
    data=DigitSequences(colour="none", transformations=("scale", "rotation")),
    steps=1_500,
    hyper={"learning_rate": 1e-3, "beta": 2.0},
    source=_SOURCE,
    cost="2 min for 2 seeds on 2 cores",
    # The latents in use are the scale, the angle, and a little of the digit.
    expects=(
        Expectation("elbo", -271.2, 0.2),
        Expectation("kl", 3.64, 0.18),
        Expectation("dead", 7.0, 0.0),
    ),
    seeds=2,
    scores=_BOUND,
)

_SPRITES = Sprites(
    factors=("scale", "x_position", "y_position"), shapes=("disc",), test_rows=500
)

PRESETS: dict[str, Preset] = {
    # Five factors and eight latents. Run first: `jaxdis train beta_vae/quickstart`.
    "quickstart": Preset(
        config=Config(z_dim=8, encoder=(64, 64), decoder=(64, 64), batch=256),
        data=MixedFactors(worlds=0),
        steps=10_000,
        hyper={"learning_rate": 2e-3, "beta": 4.0, "noise_std": 0.1},
        source=_SOURCE,
        cost="1 to 2 min for 4 seeds on 2 cores",
        # Nothing tells independent factors from a rotation of them: R² is high, and
        # MCC is not. The price leaves as many latents in use as there are factors.
        expects=(
            Expectation("mcc", 0.784, 0.057),
            Expectation("r2", 0.957, 0.007),
            Expectation("dci_d", 0.197, 0.041),
            Expectation("kl", 6.77, 0.14),
            Expectation("dead", 3.0, 0.0),
        ),
        seeds=4,
        scores=_LATENTS,
    ),
    # Data of one's own: vectors or images.
    "own": Preset(
        config=Config(
            z_dim=0, encoder=(64,) * 3, decoder=(64,) * 3, likelihood=None, batch=64
        ),
        data=OwnFile(),
        steps=0,
        hyper={"learning_rate": 1e-3, "noise_std": 0.1},
        source=_SOURCE,
        cost="minutes for 8 seeds of vectors on 2 cores",
        seeds=8,
        scores=_BOUND,
    ),
    "digits": _DIGITS,
    # Discs that are drawn: their size and place.
    "sprites": Preset(
        config=Config(
            z_dim=6,
            encoder=(64, 64),
            decoder=(64, 64),
            networks="dense",
            likelihood="bernoulli",
            batch=64,
        ),
        data=_SPRITES,
        steps=3_000,
        hyper={"learning_rate": 1e-3, "beta": 16.0},
        source=_SOURCE,
        cost="4 min for 2 seeds on 2 busy cores",
        # At beta 4 four latents are in use for three factors, the bound is the better
        # (-37 nats), and MCC is .79 +- .10: this beta was chosen by the true latents.
        expects=(
            Expectation("mcc", 0.891, 0.063),
            Expectation("r2", 0.848, 0.102),
            Expectation("dead", 3.0, 0.0),
        ),
        seeds=4,
        scores=_LATENTS,
    ),
    # The same images, with a divergence that is held at a capacity.
    "digits_capacity": _DIGITS._replace(
        config=Config(
            z_dim=10,
            channels=8,
            likelihood="bernoulli",
            constraint="capacity",
            batch=8,
        ),
        hyper={"learning_rate": 1e-3, "beta": 5.0, "capacity": 8.0},
        # In a run this short the latents fill the capacity before they know with what.
        expects=(
            Expectation("elbo", -277.4, 1.9),
            Expectation("kl", 7.72, 0.24),
            Expectation("dead", 0.5, 0.7),
        ),
    ),
}

"""Small settings: a toy of sparse steps, and data of one's own."""

from jaxdis.data.own import OwnFile
from jaxdis.data.sparse_steps import SparseSteps
from jaxdis.systems.slow_vae.config import Config
from jaxdis.types import Expectation, Preset

__all__ = ["PRESETS"]

_SOURCE = "this library"

PRESETS: dict[str, Preset] = {
    # With the Laplace prior of steps and without, which is a beta-VAE with beta 1/2.
    # Run first: `jaxdis train slow_vae/quickstart`.
    "quickstart": Preset(
        config=Config(z_dim=0, encoder=(64, 64), decoder=(64, 64), batch=128),
        data=SparseSteps(),
        steps=6_000,
        hyper={"learning_rate": 2e-3, "noise_std": 0.1},
        points=({"gamma": 0.0}, {"gamma": 10.0}),
        source=_SOURCE,
        cost="2 min for 2 x 8 seeds on 2 cores",
        expects=(
            Expectation("mcc", 0.954, 0.021),
            Expectation("mcc", 0.695, 0.061, of="gamma 0"),
            Expectation("r2", 0.967, 0.002),
            Expectation("dci_d", 0.475, 0.057),
            Expectation("kl", 10.6, 0.2),
            Expectation("transition", 5.76, 0.22),
        ),
        seeds=8,
        scores=("mcc", "r2", "dci_d", "elbo", "kl", "transition", "dead"),
    ),
    # Sequences of one's own: vectors or images.
    "own": Preset(
        config=Config(z_dim=0, encoder=(64,) * 3, decoder=(64,) * 3, batch=64),
        data=OwnFile(),
        steps=0,
        hyper={"learning_rate": 1e-3, "noise_std": 0.1},
        source=_SOURCE,
        cost="minutes for 8 seeds of vectors on 2 cores",
        seeds=8,
        scores=("elbo", "reconstruction", "kl", "transition", "dead"),
    ),
}

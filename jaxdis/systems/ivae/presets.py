"""Small settings: domains, actions, and data of one's own."""

from jaxdis.data.domains import ToyMixing
from jaxdis.data.own import OwnFile
from jaxdis.data.processes import CausalProcess
from jaxdis.data.sprites import SpriteDomains
from jaxdis.systems.ivae.config import Config
from jaxdis.types import DataSet, Preset

__all__ = ["PRESETS"]


def _preset(
    data: DataSet, width: int, steps: int, scores: tuple[str, ...], **hyper: float
) -> Preset:
    wide = (width,) * 3
    return Preset(
        config=Config(encoder=wide, decoder=wide, batch=256),
        data=data,
        steps=steps,
        hyper=hyper,
        source="this library",
        cost="1 to 2 min for 8 seeds on 2 cores",
        seeds=8,
        scores=scores,
    )


_LATENTS = ("mcc", "r2", "dci_d", "elbo", "kl", "dead")

PRESETS: dict[str, Preset] = {
    # Nine domains and four latents. Run first: `jaxdis train ivae/quickstart`.
    "quickstart": _preset(
        ToyMixing(mask="ring", domains=9, tall=True), 32, 6_000, _LATENTS
    ),
    # Five latents that continuous actions move.
    "actions": _preset(
        CausalProcess(z_dim=5, x_dim=10, samples=100_000, worlds=0),
        64,
        6_000,
        _LATENTS,
    ),
    # Images of discs whose size and place have a law of their own in every domain.
    "sprites": _preset(
        SpriteDomains(
            factors=("scale", "x_position", "y_position"),
            shape="disc",
            domains=7,
            test_rows=490,
            worlds=0,
        ),
        64,
        3_000,
        _LATENTS,
    )._replace(
        config=Config(encoder=(64,) * 2, decoder=(64,) * 2, networks="dense", batch=64),
        cost="",
        seeds=2,
    ),
    # Data of one's own: vectors or images, with actions, domains, labels or a past.
    "own": _preset(OwnFile(), 64, 0, ("elbo", "reconstruction", "kl", "dead")),
}

"""Published settings and small ones."""

from dataclasses import replace

from jaxdis.data.own import OwnFile
from jaxdis.data.processes import CausalProcess
from jaxdis.systems.baselines.model import Config
from jaxdis.types import Expectation, Preset

__all__ = ["PRESETS"]

_SCORES = ("mcc", "r", "r_con")


def _supervised(process: str, steps: int, hours: str) -> Preset:
    return Preset(
        config=Config(),
        data=CausalProcess(process),
        steps=steps,
        source="authors' log 28jul2023",
        cost=f"{hours} h per seed (theirs, GPU)",
        expects=(Expectation("r_con", 0.999), Expectation("mcc", 0.999)),
        chunk=5_000,
        scores=_SCORES,
    )


def _untaught(method: str, preset: Preset, *expects: Expectation) -> Preset:
    return preset._replace(
        config=replace(Config(), **vars(preset.config) | {"method": method}),
        steps=1,
        cost="seconds",
        expects=expects,
    )


_QUICKSTART = Preset(
    config=Config(z_dim=0, encoder=(64,) * 3, batch=256),
    data=CausalProcess(z_dim=5, x_dim=10, samples=100_000, worlds=0),
    steps=10_000,
    hyper={"learning_rate": 2e-3},
    source="this library",
    cost="1 min for 8 seeds on 2 cores",
    expects=(Expectation("mcc", 0.997, 0.0),),
    seeds=8,
    scores=_SCORES,
)

_OWN = Preset(
    config=Config(z_dim=0, encoder=(64,) * 3, batch=256),
    data=OwnFile(),
    steps=0,
    hyper={"learning_rate": 2e-3},
    source="this library",
    cost="1 min for 8 seeds of vectors on 2 cores",
    seeds=8,
    scores=("mcc", "r"),
)

PRESETS: dict[str, Preset] = {
    "quickstart_supervised": _QUICKSTART,
    "quickstart_observations": _untaught(
        "observations", _QUICKSTART, Expectation("mcc", 0.645, 0.049)
    ),
    "quickstart_random": _untaught(
        "random", _QUICKSTART, Expectation("mcc", 0.437, 0.030)
    ),
    # Data of one's own whose true latents are known.
    "own": _OWN,
    "own_observations": _untaught("observations", _OWN),
    "own_random": _untaught("random", _OWN),
    # The authors' logged means of five seeds.
    "ActionBlockEasy_supervised": _supervised("ActionBlockEasy", 300_000, "1.4"),
    "ActionBlockHard_supervised": _supervised("ActionBlockHard", 300_000, "1.6"),
    "TimeBlockEasy_supervised": _supervised("TimeBlockEasy", 200_000, "0.8"),
    "TimeBlockHard_supervised": _supervised("TimeBlockHard", 200_000, "0.8"),
}

PRESETS |= {
    f"{process}_random": _untaught(
        "random",
        PRESETS[f"{process}_supervised"],
        Expectation("r_con", r_con),
        Expectation("mcc", mcc),
    )
    for process, (r_con, mcc) in {
        "ActionBlockEasy": (0.469, 0.405),
        "ActionBlockHard": (0.476, 0.397),
        "TimeBlockEasy": (0.401, 0.362),
        "TimeBlockHard": (0.413, 0.362),
    }.items()
}

"""Settings that compile in seconds and together take every branch of the method."""

from dataclasses import replace

from jaxdis.data.processes import CausalProcess
from jaxdis.systems.mechanism_sparsity import Config

SMALL = Config(
    z_dim=4,
    encoder=(8,),
    decoder=(8,),
    transition=(4,),
    decoder_log_variance_init=-2.0,
    batch=16,
)


def _data(process: str) -> CausalProcess:
    return CausalProcess(process, z_dim=4, x_dim=6, samples=200)


TINY = {
    "actions": (SMALL, _data("ActionNonDiag"), {"coeff_a": 1.0}),
    "time": (
        replace(
            SMALL,
            mask="hard_concrete",
            mask_draws="example",
            prior_variance="dependent",
        ),
        _data("TimeNonDiag"),
        {},
    ),
    "both": (
        replace(
            SMALL,
            mask="straight_through",
            prior_variance="fixed",
            warmup_masks="frozen",
            warmup=0.5,
            time_graph="dense",
        ),
        _data("InterventionTime"),
        {},
    ),
}

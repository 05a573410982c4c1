"""Published settings and small ones."""

from dataclasses import replace

from jaxdis.data.own import OwnFile
from jaxdis.data.processes import CausalProcess
from jaxdis.systems.mechanism_sparsity.config import Config, unknown_graphs
from jaxdis.types import Expectation, Preset, Spec

__all__ = ["PRESETS", "SHARES", "bounds"]

_SCORES = ("mcc", "r", "r_con", "shd", "nll")


def _reaches(**means: float | tuple[float, float]) -> tuple[Expectation, ...]:
    """Scores with their means, or mean and standard deviation."""
    return tuple(
        Expectation(name, *(value if isinstance(value, tuple) else (value,)))
        for name, value in means.items()
    )


def _full(
    process: str, source: str, expects: tuple[Expectation, ...] = (), **hyper: float
) -> Preset:
    """A published setting, at its full size and 300,000 steps.

    Without `hyper` the bound is the true number of edges. 4.1-5.2 h per seed are the
    authors' logged times of such runs on their GPU, 2.2-2.8 h with frozen masks.
    """
    return Preset(
        config=Config(),
        data=CausalProcess(process),
        steps=300_000,
        hyper=hyper,
        source=source,
        cost="4.1-5.2 h per seed (theirs, GPU)",
        expects=expects,
        chunk=5_000,
        scores=_SCORES,
    )


def _random(process: str, density: float, expects: tuple[Expectation, ...]) -> Preset:
    preset = _full(process, _RANDOM, expects)
    data = CausalProcess(process, density=density, graph_seed=11)
    return preset._replace(data=data)


def _dense(preset: Preset, mean: float, spread: float) -> Preset:
    """The same without regularisation: masks frozen at 1."""
    config = replace(Config(), time_graph="dense", action_graph="dense")
    there = tuple(name for name in preset.scores if name != "shd")
    return preset._replace(
        config=config,
        hyper={},
        scores=there,
        expects=_reaches(mcc=(mean, spread)),
    )


# As many latents as the data have.
_SMALL = Config(
    z_dim=0,
    encoder=(64,) * 3,
    decoder=(64,) * 3,
    transition=(32,) * 2,
    decoder_log_variance_init=-4.0,
    warmup=0.3,
    descent=0.5,
    batch=256,
)

# A prior that starts as narrow as that of the data, variance 1e-4, holds the encoder
# back: after 4,000 steps of TimeNonDiag R, which knows the true latents, was .84 from
# there, and .96 from 1e-2.
_TIME = replace(_SMALL, prior_variance_init=1e-2, batch=128)


def _small(
    data: CausalProcess,
    steps: int,
    cost: str,
    expects: tuple[Expectation, ...],
    config: Config = _SMALL,
    **hyper: float,
) -> Preset:
    """A setting for two CPU cores: 5 or 6 latents, small networks, a warm-up.

    The warm-up keeps edges from being forced out before the encoder is any good; such
    removals are rarely undone.
    """
    return Preset(
        config=config,
        data=data,
        steps=steps,
        hyper={"dual_rate": 5e-3, **hyper},
        source="this library",
        cost=cost,
        expects=expects,
        seeds=8,
        scores=_SCORES,
    )


_ONE_STEP = replace(
    _SMALL,
    transition=(16,),
    prior_variance="dependent",
    prior_variance_init=1.0,
    warmup=0.25,
    decay=0.4,
    batch=128,
)
_TWO_STEPS = replace(_ONE_STEP, transition=(32,) * 2, time_graph="dense")


def _interventions(
    process: str,
    coeff_a: float,
    config: Config,
    expects: tuple[Expectation, ...] = (),
    beta: float = 1.0,
) -> Preset:
    """Interventions of unknown target on four latents, each seed in its own world.

    A penalty keeps the targets few, as nobody would know their number. With 10 observed
    variables in place of 40 the codes stayed warped (R .97), perhaps because columns of
    the Jacobian are then far from orthogonal, which is what a diagonal posterior
    favours (Reizinger et al. 2022, arXiv 2206.02416). With noise of .05 and a rate of
    4e-3 the axes were not found in 10,000 steps; the two were not changed one by one.
    All was chosen by scores on worlds of these seeds.
    """
    return Preset(
        config=config,
        data=CausalProcess(
            process,
            z_dim=4,
            x_dim=40,
            samples=50_000,
            latent_noise=0.25,  # of processes with a past
            observation_noise=0.1,
            worlds=0,
        ),
        steps=10_000,
        hyper={
            "learning_rate": 7e-3,
            "coeff_a": coeff_a,
            "bound_a": 16.0,
            "beta": beta,
        },
        source="this library",
        cost="2 min for 8 seeds on 2 cores",
        expects=expects,
        seeds=8,
        scores=_SCORES,
    )


SHARES = (1.0, 0.6, 0.4, 0.25, 0.15)  # of all cells; 1 is no bound


def bounds(config: Config, spec: Spec) -> tuple[dict[str, float], ...]:
    """Bounds at several shares of the cells of every graph that nobody knows.

    All graphs have the same share at a point, and the first point has no bound.

    Args:
      config: the method's config.
      spec: what is known of the data.

    Returns:
      The points, by what they change; none where no graph is unknown.
    """
    cells = unknown_graphs(config, spec)
    points = [
        {f"bound_{n}": float(max(1, round(share * c))) for n, c in cells.items()}
        for share in SHARES
    ]
    return tuple(p for i, p in enumerate(points) if p and p not in points[:i])


# Run logs that the authors published with their code, in results/JMLR of
# github.com/slachapelle/disentanglement_via_mechanism_sparsity.
_CLEAR = "authors' log 18sep2023"
_BLOCK = "authors' log 16sep2023"
_VIOLATION = "authors' log 19sep2023"
_RANDOM = "authors' log 23sep2023"
_PENALTY = "authors' log 28jul2023"

_WITHOUT = "no sparsity"

PRESETS: dict[str, Preset] = {
    # Small settings. Run first: `jaxdis train mechanism_sparsity/quickstart`.
    "quickstart": _small(
        CausalProcess("ActionNonDiag", z_dim=5, x_dim=10, samples=100_000, worlds=0),
        steps=40_000,
        cost="2 to 3 min for 8 seeds on 2 cores",
        expects=(
            # The later, lower figures of two machines: one world of eight not solved.
            Expectation("mcc", 0.970, 0.045),
            Expectation("shd", 1.8, 2.0),
            Expectation("mcc", 0.851, 0.090, of=_WITHOUT),
        ),
        learning_rate=2e-3,
    ),
    # Blocks of two latents that no graph can tell apart: R_con is the score, not MCC.
    # Its figures were measured on one world, `--data.worlds 1`.
    "quickstart_time": _small(
        CausalProcess("TimeBlockEasy", z_dim=6, x_dim=12, samples=100_000, worlds=0),
        steps=20_000,
        cost="3 min for 8 seeds on 2 cores",
        expects=(
            Expectation("r_con", 0.87),
            Expectation("mcc", 0.79),
            Expectation("r_con", 0.78, of=_WITHOUT),
            Expectation("mcc", 0.70, of=_WITHOUT),
        ),
        learning_rate=4e-3,
    )._replace(scores=("r_con", "mcc", "r", "shd", "nll")),
    # One target each: its mean and variance change, and it is told apart, with or
    # without sparsity; sparsity finds the targets.
    "interventions": _interventions(
        "InterventionHard",
        0.15,
        _ONE_STEP,
        (
            *_reaches(mcc=(0.989, 0.007), shd=(0.5, 1.1)),
            Expectation("mcc", 0.983, 0.011, of=_WITHOUT),
        ),
    ),
    # Two targets each, of which one gets a smaller and one a larger variance: these
    # latents, too, are told apart without sparsity.
    "interventions_pairs": _interventions(
        "InterventionPairScale",
        0.04,
        _ONE_STEP,
        (
            *_reaches(mcc=(0.994, 0.001), shd=(0.25, 0.71)),
            Expectation("mcc", 0.994, 0.001, of=_WITHOUT),
        ),
    ),
    # Two targets each, moved along one direction: theory promises nothing. This and
    # those before are measured on `--data.seed 7`, worlds on which nothing was chosen.
    "interventions_shifts": _interventions(
        "InterventionPair", 0.1, _ONE_STEP, _reaches(mcc=(0.726, 0.099), shd=(5.1, 1.7))
    ),
    # Two targets each, cut off from a past that moves every latent, and of less
    # variance. Chosen on worlds of `--data.seed 7`, where without the change of
    # variance (InterventionTimeHard) .89 was the best in 3,750 steps.
    "interventions_time": _interventions(
        "InterventionTimeHeld",
        0.3,
        _TWO_STEPS,
        _reaches(mcc=(0.991, 0.010), shd=(0.6, 1.2)),
        beta=3.0,
    )._replace(steps=5_000),
    # The past alone identifies the latents: each has one parent, itself.
    "time_diag": _small(
        CausalProcess("TimeDiag", z_dim=5, x_dim=10, samples=100_000, worlds=0),
        steps=8_000,
        cost="1 min for 8 seeds on 2 cores",
        expects=(
            Expectation("mcc", 0.89, 0.04),
            Expectation("shd", 0.0, 0.0),
            Expectation("mcc", 0.76, 0.05, of=_WITHOUT),
        ),
        config=_TIME,
        learning_rate=4e-3,
    ),
    # A full triangle: 15 of 25 edges, of which some seeds keep the wrong ones. A KL
    # divergence of weight 3 turns the axes sooner: MCC .86 against .82 after 4,000
    # steps of two worlds. Chosen on worlds of `--data.seed 7`.
    "time_nondiag": _small(
        CausalProcess("TimeNonDiag", 5, 40, 50_000, observation_noise=0.1, worlds=0),
        steps=10_000,
        cost="2 min for 8 seeds on 2 cores",
        expects=(
            Expectation("mcc", 0.896, 0.052),
            Expectation("shd", 2.5, 1.4),
            Expectation("mcc", 0.799, 0.047, of=_WITHOUT),
        ),
        config=replace(
            _TIME, transition=(64,) * 2, warmup=0.16, descent=0.4, decay=0.3
        ),
        learning_rate=1e-2,
        beta=3.0,
    ),
    # Two graphs of pairs of latents: neither tells those of a pair apart, both do.
    "both_graphs": _small(
        CausalProcess("ActionTimeBlocks", z_dim=6, x_dim=12, samples=100_000, worlds=0),
        steps=5_000,
        cost="1 min for 8 seeds on 2 cores",
        expects=(
            Expectation("mcc", 0.86, 0.09),
            Expectation("shd", 6.4, 4.3),
            Expectation("mcc", 0.78, 0.08, of="past sparse only"),
            Expectation("mcc", 0.84, 0.10, of="actions sparse only"),
            Expectation("mcc", 0.72, 0.08, of=_WITHOUT),
        ),
        config=replace(_TIME, warmup=0.2),
        learning_rate=8e-3,
    ),
    # Data of one's own: nobody knows the number of edges, so that it is swept.
    "own": Preset(
        config=_SMALL,
        data=OwnFile(),
        steps=0,
        source="this library",
        cost="10 min for 8 seeds at 5 bounds of 10 latents, on 2 cores",
        hyper={"learning_rate": 2e-3, "dual_rate": 5e-3},
        seeds=8,
        points=bounds,
        scores=("nll", "mcc", "r", "dead"),
    ),
    # Constraint with the true number of edges, mean and std of the authors' five seeds.
    "ActionDiag": _full("ActionDiag", _CLEAR, _reaches(mcc=(0.999, 0.0), shd=0.0)),
    "ActionNonDiag": _full(
        "ActionNonDiag", _CLEAR, _reaches(mcc=(0.998, 0.0), shd=0.4)
    ),
    "TimeDiag": _full("TimeDiag", _CLEAR, _reaches(mcc=(0.960, 0.015), shd=0.0)),
    # The true number, 55, was not run; 50 is the best of those that were.
    "TimeNonDiag": _full(
        "TimeNonDiag", _CLEAR, _reaches(mcc=(0.825, 0.037), shd=14.8), bound_z=50.0
    ),
    "ActionDoubleSuffStat": _full(
        "ActionDoubleSuffStat", _VIOLATION, _reaches(mcc=(0.982, 0.018), shd=2.8)
    ),
    "ActionNoSuffVar": _full(
        "ActionNoSuffVar", _VIOLATION, _reaches(mcc=(0.857, 0.035), shd=13.2)
    ),
    "TimeDoubleSuffStat": _full(
        "TimeDoubleSuffStat", _VIOLATION, _reaches(mcc=(0.740, 0.033), shd=20.4)
    ),
    "TimeNoSuffVar": _full(
        "TimeNoSuffVar", _VIOLATION, _reaches(mcc=(0.634, 0.029), shd=32.0)
    ),
    "ActionBlockEasy": _full(
        "ActionBlockEasy", _BLOCK, _reaches(r_con=0.988, mcc=(0.849, 0.050), shd=0.8)
    ),
    "ActionBlockHard": _full(
        "ActionBlockHard", _BLOCK, _reaches(r_con=0.988, mcc=(0.819, 0.052), shd=3.4),
        bound_a=15.0,
    ),
    "TimeBlockEasy": _full(
        "TimeBlockEasy", _BLOCK, _reaches(r_con=0.992, mcc=(0.843, 0.033), shd=1.2)
    ),
    "TimeBlockHard": _full(
        "TimeBlockHard", _BLOCK, _reaches(r_con=0.992, mcc=(0.847, 0.034), shd=9.2),
        bound_z=30.0,
    ),
    # Of these two no numbers were published.
    "ActionNoGraphCrit": _full("ActionNoGraphCrit", "no log"),
    "TimeNoGraphCrit": _full("TimeNoGraphCrit", "no log"),
    # Random graphs; theirs differ from seed to seed: compare over several graph_seed.
    "ActionRandom10": _random(
        "ActionRandom", 0.1, _reaches(mcc=(0.691, 0.123), shd=0.0)
    ),
    "ActionRandom20": _random(
        "ActionRandom", 0.2, _reaches(mcc=(0.853, 0.074), shd=0.8)
    ),
    "ActionRandom40": _random(
        "ActionRandom", 0.4, _reaches(mcc=(0.943, 0.045), shd=6.4)
    ),
    "ActionRandom60": _random(
        "ActionRandom", 0.6, _reaches(mcc=(0.880, 0.067), shd=13.6)
    ),
    "ActionRandom90": _random(
        "ActionRandom", 0.9, _reaches(mcc=(0.603, 0.013), shd=21.4)
    ),
    "TimeRandom10": _random("TimeRandom", 0.1, _reaches(mcc=(0.995, 0.003), shd=0.8)),
    "TimeRandom20": _random("TimeRandom", 0.2, _reaches(mcc=(0.990, 0.010), shd=8.4)),
    "TimeRandom40": _random("TimeRandom", 0.4, _reaches(mcc=(0.823, 0.144), shd=27.0)),
    "TimeRandom60": _random("TimeRandom", 0.6, _reaches(mcc=(0.711, 0.107), shd=33.2)),
    "TimeRandom90": _random("TimeRandom", 0.9, _reaches(mcc=(0.585, 0.016), shd=20.4)),
    # Penalty instead of the constraint: the bound is all cells, that is, none.
    "ActionBlockEasy_penalty": _full(
        "ActionBlockEasy", _PENALTY, _reaches(r_con=0.984, mcc=(0.878, 0.034), shd=1.4),
        coeff_a=16.0, bound_a=50.0,
    ),
    "ActionBlockHard_penalty": _full(
        "ActionBlockHard", _PENALTY, _reaches(r_con=0.993, mcc=(0.834, 0.028), shd=0.4),
        coeff_a=16.0, bound_a=50.0,
    ),
    "TimeBlockEasy_penalty": _full(
        "TimeBlockEasy", _PENALTY, _reaches(r_con=0.992, mcc=(0.871, 0.017), shd=3.6),
        coeff_z=0.8, bound_z=100.0,
    ),
    "TimeBlockHard_penalty": _full(
        "TimeBlockHard", _PENALTY, _reaches(r_con=0.968, mcc=(0.832, 0.024), shd=20.0),
        coeff_z=0.8, bound_z=100.0,
    ),
}  # fmt: skip

PRESETS |= {
    # No regularisation.
    "ActionDiag_dense": _dense(PRESETS["ActionDiag"], 0.614, 0.013),
    "ActionNonDiag_dense": _dense(PRESETS["ActionNonDiag"], 0.758, 0.039),
    "TimeDiag_dense": _dense(PRESETS["TimeDiag"], 0.576, 0.042),
    "TimeNonDiag_dense": _dense(PRESETS["TimeNonDiag"], 0.610, 0.020),
}

"""Frozen settings, and what they are known to reach."""

from jaxdis.data.digits import Digits
from jaxdis.data.factor_images import Cars3d, Dsprites, Shapes3d, SmallNorb
from jaxdis.data.features import Features
from jaxdis.data.mixed_factors import MixedFactors
from jaxdis.data.own import OwnFile
from jaxdis.data.sprites import Sprites
from jaxdis.systems.shared_features.config import Config, Hyper, Kinds
from jaxdis.systems.shared_features.model import default_hyper
from jaxdis.types import DataSet, Expectation, Preset, Spec

__all__ = ["PRESETS"]

_OURS = "this library"
_TOY_SCORES = (
    "mcc", "dci_d", "dci_d_used", "dci_c", "head_density", "usage_entropy", "score",
    "few_shot_sparse_5", "few_shot_ridge_5",
)  # fmt: skip
_SHOT_SCORES = (
    "few_shot_sparse_5", "few_shot_ridge_5", "few_shot_logistic_5", "raw_ridge_5",
    "raw_logistic_5", "head_density", "usage_entropy", "score",
)  # fmt: skip
# No penalty, sparsity alone, and sparsity with sharing.
_ABLATION = (
    {"alpha": 0.0, "beta": 0.0},
    {"alpha": 0.05, "beta": 0.0},
    {"alpha": 0.05, "beta": 0.05},
)


_OWN_SCORES = (
    "score", "few_shot_sparse_5", "few_shot_ridge_5", "raw_ridge_5", "label_accuracy",
    "label_r2", "head_density", "usage_entropy",
)  # fmt: skip


def _off_and_on(config: Config, spec: Spec) -> tuple[dict[str, float], ...]:
    """No penalty, and both as they are by default."""
    usual: Hyper = default_hyper(config, spec, 1)
    on = {"alpha": float(usual.alpha), "beta": float(usual.beta)}
    return ({"alpha": 0.0, "beta": 0.0}, on)


def _images(data: DataSet, z_dim: int, tasks: Kinds) -> Preset:
    """20,000 steps as the peer's; never run here."""
    return Preset(
        config=Config(z_dim=z_dim, network="conv", tasks=tasks, support=25, query=25),
        data=data,
        steps=20_000,
        source=_OURS,
        cost="not run",
        scores=_TOY_SCORES,
    )


PRESETS: dict[str, Preset] = {
    "quickstart": Preset(
        config=Config(),
        data=MixedFactors(worlds=0),
        steps=1_000,
        points=_ABLATION,
        source=_OURS,
        cost="1 min for 3 x 5 seeds on 2 cores",
        expects=(
            Expectation("mcc", 0.997, 0.000),
            Expectation("dci_d", 0.914, 0.015),
            Expectation("dci_d", 0.593, 0.059, of="no sharing"),
            Expectation("mcc", 0.698, 0.056, of="no penalty"),
        ),
        seeds=5,
        chunk=250,
        scores=_TOY_SCORES,
    ),
    # In one world of five two factors are merged, MCC .68; in the others it is .983.
    "classification": Preset(
        config=Config(iters=25, tasks="thresholds"),
        data=MixedFactors(worlds=0),
        steps=800,
        # Without it one seed of five merged two factors, MCC .69.
        hyper={"warmup": 400.0},
        source=_OURS,
        cost="1 min for 5 seeds on 2 cores",
        expects=(
            Expectation("mcc", 0.922, 0.136),
            Expectation("dci_d", 0.370, 0.193),
            Expectation("dci_d_used", 0.701, 0.325),
        ),
        seeds=5,
        chunk=200,
        scores=_TOY_SCORES,
    ),
    "digits": Preset(
        config=Config(
            z_dim=20,
            tasks="labels",
            new_labels=("even", "above 4", "closed loop"),
            support=25,
            query=25,
            shots=(1, 5, 10),
            test_tasks=60,
            test_query=100,
        ),
        data=Digits(),
        steps=1_000,
        points=({"alpha": 0.0, "beta": 0.0}, {"alpha": 0.04, "beta": 0.06}),
        source=_OURS,
        cost="1 min for 2 x 5 seeds on 2 cores",
        expects=(
            Expectation("few_shot_ridge_5", 0.759),
            Expectation("few_shot_ridge_5", 0.777, of="no penalty"),
            Expectation("raw_ridge_5", 0.645),
        ),
        seeds=5,
        chunk=250,
        scores=_SHOT_SCORES,
    ),
    # Images that are drawn, and a convolutional encoder.
    "sprites": Preset(
        config=Config(
            z_dim=4,
            network="conv",
            width=4,
            iters=20,
            batch=4,
            support=25,
            query=25,
            shots=(5, 20),
            test_tasks=32,
            test_query=50,
        ),
        data=Sprites(
            factors=("scale", "x_position", "y_position"),
            shapes=("disc",),
            test_rows=500,
        ),
        steps=1_000,
        points=({"alpha": 0.0, "beta": 0.0}, {"alpha": 0.05, "beta": 0.05}),
        # Without it one seed of two merged two factors: it was chosen by the true
        # latents.
        hyper={"warmup": 300.0},
        source=_OURS,
        cost="8 min for 2 x 2 seeds on 2 busy cores",
        expects=(
            Expectation("mcc", 0.977, 0.016),
            Expectation("dci_d", 0.705, 0.127),
            Expectation("mcc", 0.701, 0.013, of="no penalty"),
        ),
        seeds=4,
        chunk=250,
        scores=("mcc", "dci_d", "dci_d_used", "dci_c", "head_density"),
    ),
    "linear_probe": Preset(
        config=Config(
            z_dim=32,
            encoder=(),
            batch=8,
            tasks="labels",
            support=50,
            query=50,
            shots=(1, 5, 10),
            test_tasks=20,
            test_query=200,
        ),
        data=Features(),
        steps=1_000,
        source=_OURS,
        cost="depends on the file",
        seeds=5,
        chunk=250,
        scores=_SHOT_SCORES,
    ),
    # Your own rows with label columns: `--data.file FILE --data.y "label_*"`.
    "own": Preset(
        config=Config(
            z_dim=0,
            network=None,
            tasks="labels",
            support=0,
            query=0,
            shots=(),
            test_query=0,
        ),
        data=OwnFile(),
        # A step sees 16 tasks with a support and a query each, 800 rows.
        steps=2_000,
        points=_off_and_on,
        source=_OURS,
        cost="depends on the data; 4 min for 2 x 8 seeds of 1,400 rows on 2 cores",
        seeds=8,
        chunk=250,
        scores=_OWN_SCORES,
    ),
    "dsprites": _images(Dsprites(), 10, "factor_regression"),
    "dsprites_classification": _images(Dsprites(), 10, "factor_classes"),
    "shapes3d": _images(Shapes3d(), 12, "factor_regression"),
    "shapes3d_classification": _images(Shapes3d(), 12, "factor_classes"),
    "smallnorb": _images(SmallNorb(), 8, "factor_regression"),
    "smallnorb_classification": _images(SmallNorb(), 8, "factor_classes"),
    "cars3d": _images(Cars3d(), 6, "factor_regression"),
}

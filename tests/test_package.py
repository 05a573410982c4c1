"""What an import costs, and which names it offers."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = (
    "distrax", "tensorflow", "tensorflow_datasets", "tensorflow_probability",
    "sklearn", "matplotlib", "orbax", "tyro", "pandas", "threadpoolctl",
    "tensorboardX", "wandb", "scipy.linalg", "scipy.optimize", "scipy.spatial",
)  # fmt: skip


def test_import_stays_light():
    names = [m.name for m in pkgutil.iter_modules([str(ROOT / "jaxdis" / "systems")])]
    modules = ", ".join(f"jaxdis.systems.{name}" for name in names)
    assert len(names) >= 6
    code = (
        f"import sys, jaxdis, {modules}\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])\n"
        "print('flax' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.split("\n")[:2] == ["[]", "True"]


def test_every_public_name_is_there():
    import jaxdis

    assert set(jaxdis.__all__) <= set(dir(jaxdis))
    for name in jaxdis.__all__:
        assert getattr(jaxdis, name) is not None
    from jaxdis import experiment, runner

    assert jaxdis.run is runner.run
    assert jaxdis.train is experiment.train
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        jaxdis.nothing  # noqa: B018

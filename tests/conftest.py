"""One strict session: eight CPU devices, no silent broadcasting between ranks."""

import gc
import io
import os
import re
from pathlib import Path

import jaxlib

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8"
    + " --xla_backend_optimization_level=0"  # compiling is most of the time
    # They compile twice as long as what they replaced; from 0.12 on there is no other.
    # What they replaced fuses products and sums where a processor can: not below AVX2.
    # One module of LLVM for a program, where each has a process to itself.
    + " --xla_cpu_use_fusion_emitters=false --xla_cpu_max_isa=AVX"
    + " --xla_cpu_parallel_codegen_split_count=1"
    * (tuple(map(int, jaxlib.__version__.split(".")[:2])) < (0, 12))
)
# Programs that several tests, or processes of a test, compile are compiled once.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache/jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.02")

import jax
import jaxtyping
import pytest
from xdist.scheduler import LoadFileScheduling

jax.config.update("jax_numpy_rank_promotion", "raise")
# Tracing makes many objects that stay: to look for garbage at every 700th takes a tenth
# of the time.
gc.set_threshold(50_000)

MAPS = Path("/proc/self/maps")  # of Linux
FULL = 20_000  # of the 65,530 maps that it allows a process


@pytest.fixture(autouse=True, scope="session")
def one_level():
    """What makes the first rows asks for a level of its own, above that of all else."""
    from jaxdis import program  # not before its annotations are checked

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "ONCE", {})
        yield


@pytest.fixture(autouse=True, scope="module")
def room():
    """Every program takes maps of memory; a process that has no more dies of it."""
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > FULL:
        jax.clear_caches()


@pytest.fixture
def unchecked(monkeypatch):
    """Functions refuse wrong shapes in their own words, not in those of the checker."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="module")
def sketches():
    """Pictures are composed and not drawn, where they are not what is tested.

    To draw those of a tiny run takes longer than to train it; that they can be drawn is
    tested of every method.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    pixel = io.BytesIO()
    Image.new("L", (1, 1)).save(pixel, "PNG")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Figure, "savefig", lambda _, file, **__: file.write(pixel.getvalue())
        )
        yield


class ByFileAndMethod(LoadFileScheduling):
    """A file goes to one process, but for two that take as long as many others.

    What all methods promise goes to one for each method, and each claim to any one: one
    compiles while another trains.
    """

    def _split_scope(self, nodeid: str) -> str:
        method = re.search(r"test_contract.*\[(\w+)", nodeid)
        if "test_claims" in nodeid:
            return nodeid
        return method[1] if method else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config, log):
    return ByFileAndMethod(config, log)

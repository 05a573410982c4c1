"""What theory promises a method, by what it learns."""

import numpy as np
import pytest

from jaxdis.benchmark.promises import KINDS, promised
from jaxdis.data.arm import wiring
from jaxdis.data.domains import ToyMixing
from jaxdis.data.factor_tasks import FactorTasks
from jaxdis.data.processes import CausalProcess
from tests import own_method

PLAIN = own_method.METHOD._replace(needs=("x",), graphs=(), heads=())
GRAPHS = PLAIN._replace(graphs=("graph",))
HEADS = PLAIN._replace(heads=("weights",))
MASKS = PLAIN._replace(graphs=("mask",), arrays={"mask": "seed observed latent"})
CHANGES = PLAIN._replace(needs=(("a", "u"),))
ACTIONS, PAIRS = CausalProcess("ActionNonDiag"), CausalProcess("ActionNoGraphCrit")
RING, DENSE = ToyMixing("ring", tall=True, domains=9), ToyMixing("dense", domains=9)


@pytest.mark.parametrize(
    ("method", "data", "kind"),
    [
        (GRAPHS, ACTIONS, "all"),
        (GRAPHS, PAIRS, "part"),
        (GRAPHS, CausalProcess("TimeNoGraphCrit"), "part"),
        (GRAPHS, CausalProcess("ActionNoSuffVar"), "broken"),
        (GRAPHS, RING, "unknown"),
        (PLAIN, ACTIONS, "nothing"),
        (MASKS, ACTIONS, "unknown"),
        (MASKS, RING, "all"),
        (MASKS, ToyMixing("dense", domains=3), "nothing"),
        (CHANGES, DENSE, "all"),
        (CHANGES, ToyMixing("dense", domains=8), "nothing"),
        (PLAIN, DENSE, "nothing"),
        (HEADS, FactorTasks(), "all"),
        (PLAIN, FactorTasks(), "nothing"),
        (PLAIN._replace(needs=("z",)), DENSE, "unknown"),
    ],
)
def test_promise(method, data, kind):
    assert kind in KINDS
    assert promised(method, data.spec()).kind == kind


def test_what_breaks_is_said():
    found = promised(GRAPHS, ACTIONS.spec(), "models have 8 latents")
    assert found.kind == "broken"
    assert found.words == "models have 8 latents (else: 10 blocks of 1)"


def test_motors_of_an_arm():
    assert np.array_equal(wiring(2), [[1, 0], [0, 1], [1, 0], [0, 1]])

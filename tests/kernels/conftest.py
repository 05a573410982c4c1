"""Tests of the kernels for Hopper are skipped where jax is too old for them."""

import pytest


@pytest.fixture(scope="session")
def mosaic():
    """Skips a test that needs a kernel for Hopper."""
    from jaxdis.kernels import Sizes
    from jaxdis.kernels.tiles import hopper_refusal

    reason = hopper_refusal(Sizes(1, 1, 1, 1))
    if reason and "need jax" in reason:
        pytest.skip(reason)


@pytest.fixture
def impl(request):
    """The name of a form that can run."""
    if request.param == "pallas_gpu":
        request.getfixturevalue("mosaic")
    return request.param

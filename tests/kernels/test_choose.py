"""Which form of an operation runs."""

import pytest

from jaxdis import kernels

BOTH = {"tpu": None, "gpu": None}


@pytest.mark.parametrize(
    ("platform", "impl", "refusals", "form"),
    [
        ("cpu", None, BOTH, "xla"),
        ("tpu", None, BOTH, "pallas_tpu"),
        ("gpu", None, {"tpu": None}, "xla"),
        ("tpu", None, {"tpu": "too odd"}, "xla"),
        ("tpu", "xla", BOTH, "xla"),
        ("tpu", "pallas", BOTH, "pallas_tpu"),
        ("gpu", "pallas", BOTH, "pallas_gpu"),
        ("gpu", "pallas", {"gpu": "too odd"}, "xla"),
        ("cpu", "pallas_gpu", BOTH, "pallas_gpu"),
        ("cpu", "interpret", BOTH, "interpret"),
    ],
)
def test_form(monkeypatch, platform, impl, refusals, form):
    """Where a kernel was found to be the fastest, on a TPU here, it is the default."""
    monkeypatch.setattr(kernels.jax, "default_backend", lambda: platform)
    monkeypatch.setattr(kernels, "FASTEST", {"cpu": "xla", "tpu": "pallas"})
    assert kernels.choose(impl, "product", refusals) == form


@pytest.mark.parametrize(
    ("platform", "impl", "message"),
    [
        (
            "cpu",
            "pallas",
            "impl='pallas': product has a compiled kernel for tpu and no",
        ),
        ("gpu", "pallas", "for tpu and none for gpu; impl='xla' runs everywhere"),
        ("cpu", "pallas_gpu", "for tpu and none for gpu"),
        ("cpu", "mosaic", "impl must be None or one of xla, pallas, .*, got 'mosaic'"),
    ],
)
def test_a_platform_without_a_kernel_is_named(monkeypatch, platform, impl, message):
    monkeypatch.setattr(kernels.jax, "default_backend", lambda: platform)
    with pytest.raises(ValueError, match=message):
        kernels.choose(impl, "product", {"tpu": None})

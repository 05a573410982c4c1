"""TCL: the best classifier of Gaussian segments, labels that lack, and refusals."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from jaxdis import check, metrics
from jaxdis.systems.tcl import METHOD, Config, make
from jaxdis.systems.tcl.model import Head, objective
from jaxdis.systems.tcl.segments import SEGMENTS
from jaxdis.types import Label, Rows, Spec, Splits
from tests.contrast.fits import fit

SEEN = 8
SPEC = Spec(shape=(2,), domains=tuple(map(str, range(SEEN))), z_dim=2)
LINEAR = Config(z_dim=2, encoder=(), batch=256)


def test_variances_of_segments_tell_the_sources_of_a_linear_mixture():
    """Its loss is that of the true densities, and its codes are the sources."""
    rng = np.random.default_rng(0)
    u = rng.integers(0, SEEN, 20_000)
    stds = np.exp(rng.uniform(-1.5, 1, (SEEN, 2)))
    s = stds[u] * rng.normal(size=(len(u), 2))
    x = s @ np.array([[1.0, 0.8], [-0.6, 1.0]])
    rows = Rows(jnp.float32(x), u=jnp.asarray(u), z=jnp.float32(s))
    system, state = fit(METHOD, LINEAR, SPEC, rows)
    few = jax.tree.map(lambda a: a[:4_000], rows)
    found = system.report(state, few, jax.random.key(0))
    assert metrics.mcc(s, x) < 0.9
    assert found["mcc"] > 0.97
    log_p = norm.logpdf(s[:4_000, None], 0, stds[None]).sum(-1)
    log_p -= np.logaddexp.reduce(log_p, axis=1)[:, None]
    best = -log_p[np.arange(4_000), u[:4_000]].mean()
    assert abs(found["contrast"] - best) < 0.03
    right = (log_p.argmax(1) == u[:4_000]).mean()
    assert abs(found["accuracy"] - right) < 0.03


@pytest.mark.parametrize("statistics", ["quadratic", "absolute"])
def test_the_loss_is_a_cross_entropy_of_the_statistics_of_known_rows(statistics):
    rng = np.random.default_rng(0)
    labels = (Label("size"), Label("kind", 3))
    segments = SEGMENTS["y"](Spec(shape=(2,), labels=labels))
    h, w, b = rng.normal(size=(4, 2)), rng.normal(size=(2, 2, 3)), rng.normal(size=3)
    kind = np.array([2.0, np.nan, 0.0, 1.0])
    y = jnp.float32(np.stack([np.ones(4), kind], 1))
    seen = (h, h**2) if statistics == "quadratic" else (np.abs(h),)
    logits = sum(t @ v for t, v in zip(seen, w, strict=False)) + b
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    known = np.array([0, 2, 3])
    wanted = -np.log(p[known, kind[known].astype(int)]).mean()
    head = Head(jnp.float32(w[: len(seen)]), jnp.float32(b))
    config = replace(LINEAR, statistics=statistics)
    rows = Rows(jnp.zeros((4, 2)), y=y)
    loss, logged = objective(segments, config, head, jnp.float32(h), rows)
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    right = (p.argmax(1)[known] == kind[known]).mean()
    np.testing.assert_allclose(logged["accuracy"], right, rtol=1e-6)


def splits(u):
    rows = Rows(jnp.zeros((len(u), 2)), u=jnp.asarray(u))
    return Splits(rows, rows, rows)


def test_a_segment_of_one_row_is_named():
    spec = SPEC._replace(domains=("north", "south"))
    message = "domain 'south' has 1 training rows, and tcl needs at least 2 of each"
    with pytest.raises(ValueError, match=message):
        METHOD.batches(replace(LINEAR, batch=2), spec, splits([0, 0, 1]))
    assert METHOD.batches(replace(LINEAR, batch=2), spec, splits([0, 0, 1, 1]))
    kinds = Spec(shape=(2,), labels=(Label("kind", 2, values=("cat", "dog")),))
    rows = Rows(jnp.zeros((4, 2)), y=jnp.array([[0.0], [0.0], [jnp.nan], [1.0]]))
    with pytest.raises(ValueError, match="column 'kind': class 'dog' has 1 training"):
        METHOD.batches(replace(LINEAR, batch=2), kinds, Splits(rows, rows, rows))


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="tcl needs domains `u` or labels `y`; this"):
        check.needs(METHOD.name, METHOD.needs, Spec(shape=(2,)))
    with pytest.raises(ValueError, match="labels of this data set are numbers"):
        make(LINEAR, Spec(shape=(2,), labels=(Label("size"),)))
    with pytest.raises(ValueError, match=r"config\.statistics must be one of 'quadr"):
        make(replace(LINEAR, statistics="cubic"), SPEC)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"config\.segments must be one of None, 'u'"):
        make(replace(LINEAR, segments="a"), SPEC)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tcl needs labels `y`; this data set"):
        make(replace(LINEAR, segments="y"), SPEC)

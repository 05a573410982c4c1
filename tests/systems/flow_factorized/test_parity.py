"""Loss and gradients of the released forms against the authors' program.

The golden values were computed in float64 by the PyTorch modules of GitHub
KingJamesSong/latent-flow, commit 6952c93, on small random tensors: a batch of one known
transformation (`sup`), hard inferred indices (`weak`) and soft ones (`soft`).
"""

import functools
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdis import flows
from jaxdis.kernels.potential_flow import Potentials
from jaxdis.systems.flow_factorized.build import build
from jaxdis.systems.flow_factorized.config import FAITHFUL
from jaxdis.systems.flow_factorized.model import Noise, flow_terms
from jaxdis.systems.flow_factorized.networks import (
    ModelParams,
    flow_of,
    mean_and_log_var,
    times,
)
from jaxdis.systems.flow_factorized.terms import GRADIENTS, released_log_densities
from jaxdis.types import Spec

GOLDEN = Path(__file__).parents[2] / "goldens" / "flow_factorized.npz"
SPEC = Spec((28, 28, 3), 9, transformations=("scale", "rotation", "hue"))
CASES = {"sup": "known", "weak": "inferred", "soft": "inferred"}
SHOWN = 1  # the transformation whose networks have golden gradients


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


def potentials(golden, prefix):
    """PyTorch weights are [out, in], ours [in, out]."""

    def transposed(name):
        return golden[f"{prefix}_{name}"].swapaxes(1, 2)

    return Potentials(
        w1=transposed("W1"), b1=golden[f"{prefix}_b1"],
        wt=transposed("Wt"), bt=golden[f"{prefix}_bt"],
        vt=transposed("Vt"), ct=golden[f"{prefix}_ct"],
        w2=transposed("W2"), b2=golden[f"{prefix}_b2"],
        w3=golden[f"{prefix}_w3"][:, 0], b3=golden[f"{prefix}_b3"][:, 0],
    )  # fmt: skip


def model_params(golden):
    """The released modules' parameters under our names."""

    def layer(name, axes):
        return {
            "kernel": golden[f"{name}_w"].transpose(axes),
            "bias": golden[f"{name}_b"],
        }

    def dense(name, axes):
        # 1 x 1 convolutions of a single pixel.
        kernel = golden[f"{name}_w"].squeeze()
        return {"kernel": kernel.transpose(axes), "bias": golden[f"{name}_b"]}

    # A convolution over the whole map is a dense layer on its pixels, channels last.
    whole = golden["enc2_w"].transpose(2, 3, 1, 0)
    head = {
        "kernel": np.concatenate([golden["mu_w"], golden["lv_w"]]).T,
        "bias": np.concatenate([golden["mu_b"], golden["lv_b"]]),
    }
    encoder = {
        "_Conv_0": layer("enc0", (2, 3, 1, 0)),
        "_Conv_1": layer("enc1", (2, 3, 1, 0)),
        "Dense_0": {"kernel": whole.reshape(-1, 24), "bias": golden["enc2_b"]},
        "Dense_1": dense("enc3", (1, 0)),
        "Dense_2": dense("enc4", (1, 0)),
        "Dense_3": head,
    }
    # Transposed convolutions are [in, out, k, k] there, dec0 is a linear layer.
    decoder = {
        "Dense_0": dense("dec0", (1, 0)),
        "Dense_1": dense("dec1", (0, 1)),
        "Dense_2": dense("dec2", (0, 1)),
        "_Spread_0": layer("dec3", (0, 2, 3, 1)),
        "_Conv_0": layer("dec4", (2, 3, 0, 1)),
        "_Conv_1": layer("dec5", (2, 3, 0, 1)),
    }
    return ModelParams(
        {"params": encoder},
        {"params": decoder},
        potentials(golden, "u"),
        potentials(golden, "f"),
        golden["sigma"],
        None,
    )


@functools.cache
def compiled(supervision, n, batch):
    """One program for cases of one kind: gradients, terms, latents and densities."""
    config = replace(FAITHFUL, supervision=supervision, z_dim=n, width=n, batch=batch)
    model = build(config, SPEC)

    def total(params, x, y, noise):
        terms = flow_terms(model, params, x, y, noise)
        loss = terms.reconstruction + terms.kl_start + terms.kl_path
        return loss + terms.hj + terms.ic, terms

    @jax.jit
    def evaluate(params, x, y, noise):
        gradient, terms = jax.grad(total, has_aux=True)(params, x, y, noise)
        mean, log_var = mean_and_log_var(model, params, x[:, 0])
        z0 = mean + jnp.exp(0.5 * log_var) * noise.posterior
        flow, at = flow_of(model, params), times(model, 8)
        path = flows.walk(flow, z0, y, at, model.log_det, noise.probe)
        densities = released_log_densities(params.prior, y, mean, log_var, z0, path)
        return gradient, terms, (path.z, *densities)

    return evaluate


def evaluated(golden, case):
    """The gradient of the loss, its terms, latents and densities, in float64."""
    params = jax.tree.map(jnp.asarray, model_params(golden))
    x = jnp.asarray(golden["seq"].transpose(1, 0, 3, 4, 2))
    batch, n = golden["eps"].shape
    known = np.eye(3)[[SHOWN] * batch]
    y = {"sup": known, "weak": golden["y"], "soft": golden["ysoft"]}[case]
    noise = Noise(jnp.asarray(golden["eps"]), jnp.ones((8, batch, n)), None)
    return compiled(CASES[case], n, batch)(params, x, jnp.asarray(y), noise)


def close(actual, expected, tolerance):
    # Relative to the array's largest entry: entries near 0 are sums that cancel.
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("case", CASES)
def test_released_losses_and_gradients(golden, case):
    with jax.enable_x64(True):
        gradient, terms, latents = evaluated(golden, case)
        close(terms.reconstruction + terms.kl_start, golden[f"{case}_vae"], 1e-10)
        close(terms.kl_path, golden[f"{case}_rho"], 1e-10)
        close(terms.hj + terms.ic, golden[f"{case}_pde"], 1e-10)
        for name, steps in zip(("z", "rp", "rq"), latents, strict=True):
            close(steps[-1], golden[f"{case}_{name}"], 1e-10)
        u, f = gradient.potentials, gradient.forces
        encoder, decoder = gradient.encoder["params"], gradient.decoder["params"]
        found = {
            "W1": u.w1[SHOWN].T,
            "W2": u.w2[SHOWN].T,
            "w3": u.w3[SHOWN][None],
            "Wt": u.wt[SHOWN].T,
            "fW1": f.w1[SHOWN].T,
            "e0": encoder["_Conv_0"]["kernel"].transpose(3, 2, 0, 1),
            "dl": decoder["Dense_0"]["kernel"].T,
            "d_last": decoder["_Conv_1"]["kernel"].transpose(2, 3, 0, 1),
            "sigma": gradient.prior[SHOWN][:, None],
        }
        for name, ours in found.items():
            theirs = golden[f"{case}_g_{name}"]
            assert np.abs(theirs).max() > 0, name
            close(ours, theirs, 1e-8)
        # The scale of the first step enters nothing.
        assert gradient.prior[SHOWN][0] == 0


def test_running_sum_of_the_released_prior_gradient():
    # A constant gradient g moves the scales by g, 2 g, 3 g, ...: 6 g after three steps
    # of gradient descent; everything else by 3 g.
    released = replace(FAITHFUL, z_dim=4, width=4, vae="mlp", batch=2)
    assert build(released, SPEC).gradient is GRADIENTS["accumulate"]
    tx = GRADIENTS["accumulate"](optax.sgd(1.0))
    other = {"w": jnp.zeros(2)}
    params = ModelParams(other, other, None, None, jnp.zeros((3, 8)), None)
    ones = jax.tree.map(jnp.ones_like, params)
    state, moved = tx.init(params), params
    for _ in range(3):
        updates, state = tx.update(ones, state, moved)
        moved = optax.apply_updates(moved, updates)
    np.testing.assert_allclose(moved.prior, -6.0, rtol=1e-5)
    np.testing.assert_allclose(moved.encoder["w"], -3.0, rtol=1e-5)
    np.testing.assert_allclose(moved.decoder["w"], -3.0, rtol=1e-5)

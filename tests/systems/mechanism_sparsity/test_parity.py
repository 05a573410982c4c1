"""Loss and gradients against the authors' released program.

The golden values were computed in float64 by the PyTorch modules of GitHub
slachapelle/disentanglement_via_mechanism_sparsity, commit 7fd50de, on small random
tensors: one step with actions (one time step) and one with a past (two time steps).
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import losses, masks
from jaxdis.parallel import ParallelMLP
from jaxdis.systems.mechanism_sparsity import Config, default_hyper, make
from jaxdis.systems.mechanism_sparsity.build import ModelParams, build
from jaxdis.systems.mechanism_sparsity.edges import Graphs
from jaxdis.systems.mechanism_sparsity.elbo import Noise, elbo_terms
from jaxdis.systems.mechanism_sparsity.model import objective
from jaxdis.types import Rows, Spec, Truth

GOLDEN = Path(__file__).parents[2] / "goldens" / "mechanism_sparsity.npz"
CASES = ["action", "temporal"]
PRECISIONS = [(np.float64, 1e-6), (np.float32, 1e-4)]
CONFIG = Config(z_dim=4, encoder=(16,) * 3, decoder=(16,) * 3, transition=(16,) * 3)


class Golden:
    """The arrays of one case, and which of them were read."""

    def __init__(self, case):
        with np.load(GOLDEN) as file:
            self.arrays = {
                name.removeprefix(f"{case}/"): file[name]
                for name in file.files
                if name.startswith(f"{case}/")
            }
        self.read = set()

    def __getitem__(self, name):
        self.read.add(name)
        return self.arrays[name]


def close(actual, expected, tolerance):
    # Relative to the array's largest entry as well: entries near 0 are sums in which
    # larger terms cancel, and have no relative accuracy of their own.
    scale = np.abs(expected).max()
    np.testing.assert_allclose(
        actual, expected, rtol=tolerance, atol=tolerance * scale, strict=False
    )


def mlp(golden, prefix, rows=slice(None)):
    """PyTorch weights are [out, in], ours [in, out]."""
    layers = {}
    for index, name in enumerate(["linear0", "linear1", "linear2", "linear_out"]):
        kept = rows if name == "linear_out" else slice(None)
        weight = golden[f"{prefix}.{name}.weight"][kept]
        bias = golden[f"{prefix}.{name}.bias"][kept]
        layers[f"Dense_{index}"] = {"kernel": weight.T, "bias": bias}
    return {"params": layers}


def model_params(golden, what, case):
    """The reference's parameters or gradients (`what`) under our names."""
    # Encoder outputs: (mean_0, raw_0, mean_1, ...) there; means, then raws here.
    halves = np.arange(8).reshape(4, 2).T.ravel()
    prior = f"{what}/latent_model"
    past = case == "temporal"
    first = "linear_z_lag" if past else "linear_cont_c"
    hidden = [golden[f"{prior}.parallel_mlp.linear{i}.weight"] for i in (0, 1)]
    # The second output would be a variance; this model's variance is free instead.
    out = golden[f"{prior}.parallel_mlp.linear_out.weight"][:, :1]
    init = golden[f"{prior}.init_p_params"][0] if past else None
    return ModelParams(
        encoder=mlp(golden, f"{what}/encoder", halves),
        decoder=mlp(golden, f"{what}/decoder"),
        decoder_log_variance=golden[f"{what}/decoder_logvar"][0],
        transition=ParallelMLP(
            inputs=(golden[f"{prior}.{first}.weight"].swapaxes(1, 2),),
            bias=golden[f"{prior}.input_bias"],
            hidden=tuple(weight.swapaxes(1, 2) for weight in hidden),
            out=out.swapaxes(1, 2),
            out_bias=golden[f"{prior}.parallel_mlp.linear_out.bias"][:, :1],
        ),
        prior_raw_variance=golden[f"{prior}.logvar"][0, :, 0],
        first_mean=init[:, 0] if past else None,
        first_raw_variance=init[:, 1] if past else None,
        masks=Graphs(
            z=golden[f"{prior}.g.log_alpha"] if past else None,
            a=None if past else golden[f"{prior}.gc.log_alpha"],
        ),
    )


def problem(case, dtype):
    """Golden values, spec, parameters, rows and noise of one case."""
    golden = Golden(case)
    past = case == "temporal"
    spec = Spec(
        shape=(7,),
        steps=2 if past else 1,
        a_dim=0 if past else 3,
        z_dim=4,
        truth=Truth(
            gz=np.ones((4, 4), int) if past else None,
            ga=None if past else np.ones((4, 3), int),
        ),
    )
    rows = Rows(
        x=golden["x"],
        a=None if past else golden["a"],
        z=np.zeros_like(golden["eps"]),
    )
    edges = golden["mask_noise"]
    noise = Noise(
        posterior=golden["eps"],
        masks=Graphs(z=edges if past else None, a=None if past else edges),
    )
    params = model_params(golden, "param", case)
    cast = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (params, rows, noise))
    return golden, spec, *cast


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("case", CASES)
def test_elbo_of_each_example(case, dtype, tolerance):
    with jax.enable_x64(dtype == np.float64):
        golden, spec, params, rows, noise = problem(case, dtype)
        one = jnp.ones((), dtype)

        @jax.jit
        def evaluate(params, rows, noise):
            sampled = jax.tree.map(
                lambda log_alpha, e: masks.SOFT.sample(log_alpha, e, one),
                params.masks,
                noise.masks,
            )
            return elbo_terms(
                params, build(CONFIG, spec), rows, noise.posterior, sampled, 0 * one
            )

        terms = evaluate(params, rows, noise)
        nll = losses.negative_elbo(terms.reconstruction, terms.kl)
        probability = masks.SOFT.probability(jax.tree.leaves(params.masks)[0], one)
        edges = masks.expected_size(probability)
        penalty = golden["coeff"] * edges / spec.shape[0]
        assert nll.dtype == dtype
        close(-nll, golden["elbo"], tolerance)
        close(terms.reconstruction.mean(), golden["rec"], tolerance)
        close(terms.kl.mean(), golden["kl"], tolerance)
        close(edges, golden["reg"], tolerance)
        close(nll.mean() + penalty, golden["loss"], tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_of_a_step(case, dtype, tolerance):
    with jax.enable_x64(dtype == np.float64):
        golden, spec, params, rows, noise = problem(case, dtype)
        coeff = float(golden["coeff"])
        hyper = default_hyper(CONFIG, spec, steps=10)
        hyper = hyper._replace(coeff_z=coeff, coeff_a=coeff)
        made = make(CONFIG, spec)
        fresh = jax.eval_shape(made.init, jax.random.key(0), hyper)
        shapes = jax.tree.map(jnp.shape, fresh.params)
        assert jax.tree.map(jnp.shape, params) == shapes  # the mapping is complete
        # Multipliers and step start at 0.
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), fresh)

        @jax.jit
        def evaluate(params, rows, noise, hyper):
            return jax.value_and_grad(objective, has_aux=True)(
                params, build(CONFIG, spec), rows, noise, zeros.extra, zeros.step, hyper
            )

        (loss, (_, metrics)), gradients = evaluate(params, rows, noise, hyper)

        close(loss, golden["loss"], tolerance)
        close(metrics["nll"], -golden["elbo"].mean(), tolerance)
        close(metrics["reconstruction"], golden["rec"], tolerance)
        close(metrics["kl"], golden["kl"], tolerance)
        edges = metrics["edges_z" if case == "temporal" else "edges_a"]
        close(edges, golden["reg"], tolerance)

        expected = jax.tree.leaves(model_params(golden, "grad", case))
        gradient = jax.tree.leaves_with_path(gradients)
        for (path, ours), theirs in zip(gradient, expected, strict=True):
            assert ours.dtype == dtype, jax.tree_util.keystr(path)
            assert np.abs(theirs).max() > 0, jax.tree_util.keystr(path)
            close(ours, theirs, tolerance)


@pytest.mark.parametrize("case", CASES)
def test_nothing_of_the_reference_is_left_out(case):
    golden = Golden(case)
    model_params(golden, "param", case)
    model_params(golden, "grad", case)
    parameters = {n for n in golden.arrays if n.startswith(("param/", "grad/"))}
    dropped = {name.removeprefix("param/") for name in parameters - golden.read}
    # Frozen there and absent here: mask on whole latents (`m`), decoder dummy values
    # (`eta`), values of masked inputs (`gamma`), and the prior of a past that is not.
    absent = {"eta", "latent_model.dummy_param", "latent_model.m.log_alpha"}
    action = case == "action"
    gamma = "latent_model.gamma_gc" if action else "latent_model.gamma"
    absent |= {"latent_model.init_p_params", gamma} if action else {gamma}
    assert dropped == absent
    assert not golden[f"param/{gamma}"].any()  # so that a masked input is 0
    unused = "grad/latent_model.parallel_mlp.linear_out"
    assert not golden[f"{unused}.weight"][:, 1].any()
    assert not golden[f"{unused}.bias"][:, 1].any()

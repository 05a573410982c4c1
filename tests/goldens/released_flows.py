"""Runs the released program of the flows on small arrays.

There are 8 latents, 3 transformations (0 scale, 1 rotation, 2 hue), 8 steps and frames
of 28 x 28 x 3. Losses are in float64, transformed images in float32.
"""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from released import Arrays, Golden, as_arrays, fixed_noise
from torch.distributions import Normal

__all__ = ["FLOW", "TRANSFORMS"]

N, K, STEPS, ROWS, SIDE, CHANNELS = 8, 3, 8, 5, 28, 3
KNOWN = 1  # the transformation of the supervised case, and the one of the gradients
_PARTS = {
    "W1": "layer_x.weight", "b1": "layer_x.bias",
    "Wt": "layer_time.weight", "bt": "layer_time.bias",
    "Vt": "layer_time2.weight", "ct": "layer_time2.bias",
    "W2": "layer_fusion.weight", "b2": "layer_fusion.bias",
    "w3": "layer_out.weight", "b3": "layer_out.bias",
}  # fmt: skip
_GRADIENTS = {
    "W1": "u_W1", "W2": "u_W2", "w3": "u_w3", "Wt": "u_Wt", "fW1": "f_W1",
    "e0": "enc0_w", "dl": "dec0_w", "d_last": "dec5_w", "sigma": "sigma",
}  # fmt: skip


class _Flow(NamedTuple):
    """The released modules and their parameters under the names of the golden file."""

    vae: Any
    potentials: Any
    prior: Any
    single: dict[str, torch.nn.Parameter]  # one array
    stacked: dict[str, list[torch.nn.Parameter]]  # one array per transformation


def _flow_modules() -> _Flow:
    """The released modules with their own initialisation."""
    from latent_flow.models.DiffPDE import DiffPDE
    from latent_flow.models.HJPDE import HJPDE
    from latent_flow.models.vae import ConvVAE

    vae = ConvVAE(num_channel=CHANNELS, latent_size=N, img_size=SIDE)
    potentials, prior = HJPDE(K, 2 * STEPS, N), DiffPDE(K, 2 * STEPS, N)
    layers = {
        **_numbered("enc", vae.encoder.encoder),
        "mu": vae.encoder.linear_means,
        "lv": vae.encoder.linear_log_var,
        **_numbered("dec", vae.decoder.decoder),
    }
    single = {f"{name}_w": layer.weight for name, layer in layers.items()}
    single |= {f"{name}_b": layer.bias for name, layer in layers.items()}
    networks = {"u": potentials.MLP_SET, "f": potentials.FORCE_SET}
    stacked = {
        f"{letter}_{short}": [mlp.get_parameter(long) for mlp in networks[letter]]
        for letter in networks
        for short, long in _PARTS.items()
    }
    stacked["sigma"] = [equation.sigma for equation in prior.MLP_SET]
    return _Flow(vae, potentials, prior, single, stacked)


def _numbered(prefix: str, modules: Iterable[Any]) -> dict[str, Any]:
    """The layers that have weights, by their place among them."""
    layers = [module for module in modules if hasattr(module, "weight")]
    return {f"{prefix}{place}": layer for place, layer in enumerate(layers)}


def _flow_draw(seed: int) -> Arrays:
    """New frames, noise, indices and parameters."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    modules = _flow_modules()
    drawn = as_arrays(modules.single)
    for name, parameters in modules.stacked.items():
        drawn[name] = torch.stack(parameters).detach().numpy()
    drawn["sigma"] = rng.uniform(0.7, 1.3, size=(K, STEPS))  # would start as ones
    drawn["seq"] = rng.uniform(size=(STEPS + 1, ROWS, CHANNELS, SIDE, SIDE))
    drawn["eps"] = rng.normal(size=(ROWS, N))
    drawn["y"] = np.eye(K)[rng.permutation(np.arange(ROWS) % K)]  # each one occurs
    drawn["ysoft"] = rng.dirichlet(np.ones(K), size=ROWS)
    return drawn


def _walk(
    flow: _Flow, given: dict[str, torch.Tensor], y: torch.Tensor | None
) -> Arrays:
    """The three loss parts of one batch, its last latents, and the gradients.

    Steps 1, 2, ... move the latents by the gradient of the potential, and both log
    densities by minus log|1 + .| of the second derivatives of their potentials.

    Args:
        flow: The released modules with the given parameters.
        given: Frames `seq [t+1 b c h w]` and noise `eps [b z]`.
        y: Weights of the transformations [b k]; None where it is known to be `KNOWN`.
    """
    from latent_flow.trainers.trainer_ot_scratch import TrainerOTScratch

    trainer = SimpleNamespace(params=SimpleNamespace(batch_size=ROWS))
    frames = given["seq"]
    with fixed_noise(given["eps"]):
        image, mean, log_var, z = flow.vae(frames[0])
    likelihood = TrainerOTScratch.loss_fn(trainer, image, frames[0], mean, log_var)
    log_prior = Normal(0.0, 1.0).log_prob(z)
    log_posterior = Normal(mean, torch.exp(log_var / 2.0)).log_prob(z)
    divergence = torch.nn.KLDivLoss(reduction="batchmean", log_target=True)
    rho, pde = torch.zeros(()), torch.zeros(())
    for t in range(1, STEPS + 1):
        time = torch.full((1, 1), float(t))
        if y is None:
            _, residual, move, bend = flow.potentials(KNOWN, z, time)
            *_, spread = flow.prior(KNOWN, z, time, log_prior)
        else:
            _, residual, move, bend = flow.potentials.index_forward(y, z, time)
            *_, spread = flow.prior.index_forward(y, z, time, log_prior)
        log_posterior = log_posterior - torch.log(torch.abs(1 + bend))
        log_prior = log_prior - torch.log(torch.abs(1 + spread))
        z = z + move
        densities = (log_posterior.exp(), log_prior.exp())
        rho = rho + divergence(*(torch.log_softmax(x, dim=-1) for x in densities))
        pde = pde + residual
        decoded = flow.vae.inference(z)
        likelihood = likelihood + TrainerOTScratch.bce(trainer, decoded, frames[t])
    (likelihood + rho + pde).backward()
    parameters = flow.single | {k: v[KNOWN] for k, v in flow.stacked.items()}
    found = {"vae": likelihood, "rho": rho, "pde": pde}
    found |= {"z": z, "rp": log_prior, "rq": log_posterior}
    found |= {f"g_{k}": parameters[name].grad for k, name in _GRADIENTS.items()}
    return as_arrays(found)


def _flow_compute(given: Arrays) -> Arrays:
    """Losses and gradients with a known, a hard and a soft index, in float64."""
    torch.set_default_dtype(torch.float64)
    tensors = {name: torch.tensor(array) for name, array in given.items()}
    found: Arrays = {}
    cases = {"sup": None, "weak": tensors["y"], "soft": tensors["ysoft"]}
    for case, y in cases.items():
        flow = _flow_modules()
        with torch.no_grad():
            for name, parameter in flow.single.items():
                parameter.copy_(tensors[name])
            for name, parameters in flow.stacked.items():
                for parameter, array in zip(parameters, tensors[name], strict=True):
                    parameter.copy_(array.reshape(parameter.shape))
        found |= {f"{case}_{k}": v for k, v in _walk(flow, tensors, y).items()}
    return found


# The transformations of images: 0 scale, 1 rotation, 2 hue.

IMAGES = 6
CUMULATIVE = [(0,), (0, 1), (1, 2), (2,), (0, 1, 2)]


def _transforms_draw(seed: int) -> Arrays:
    """New grey images: each three strokes, smooth, bright at most 1."""
    rng = np.random.default_rng(seed)
    along = np.linspace(0, 1, 50)[:, None]
    rows, columns = np.mgrid[:SIDE, :SIDE]
    images = []
    for _ in range(IMAGES):
        ends = rng.uniform(6, SIDE - 6, size=(3, 2, 2))
        points = np.concatenate([a + along * (b - a) for a, b in ends])
        squares = (rows[..., None] - points[:, 0]) ** 2
        squares = squares + (columns[..., None] - points[:, 1]) ** 2
        images.append(np.exp(-squares.min(-1) / 2))
    return {"gray": np.where(np.array(images) < 0.05, 0, images).astype(np.float32)}


def _transforms_compute(given: Arrays) -> Arrays:
    """Every transformation at every step, and five steps one upon the other."""
    from latent_flow.datasets.transforms import AddRandomTransformationDims
    from latent_flow.trainers.trainer_ot_scratch import mnist_color, mnist_trans

    torch.set_default_dtype(torch.float32)
    images = mnist_color(torch.tensor(given["gray"])[:, None])
    found = {"x": images}
    for k in range(K):
        for t in range(STEPS + 1):
            found[f"{k}_{t}"] = mnist_trans(images, k, t)
    # The lists of the sparse transformations' trainer, which does not import.
    move = AddRandomTransformationDims([20.0] * 9, [200.0] * 9, [1.1] * 9)
    for step, operations in enumerate(CUMULATIVE):
        for k in operations:
            images = move(images, k, step)
        found[f"sta_{step}"] = images
    return as_arrays(found)


FLOW = Golden("6952c93", _flow_draw, _flow_compute)
TRANSFORMS = Golden("6952c93", _transforms_draw, _transforms_compute)

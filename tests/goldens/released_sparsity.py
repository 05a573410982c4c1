"""Runs the released program of mechanism sparsity on small arrays, in float64.

There are 4 latents, 7 observed variables and 3 actions. The case `action` has one time
step and a mask on actions, `temporal` has two and a mask on the past.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from released import Arrays, Golden, as_arrays, fixed_noise

__all__ = ["GOLDEN"]

Z, X, A, BATCH, WIDTH, LAYERS = 4, 7, 3, 6, 16, 3
COEFF = {"action": 8.0, "temporal": 0.6}
# Parameters that start as constants and are trained: drawn, so that they show.
_SPREAD = {"input_bias": 0.3, "init_p_params": 0.5, "log_alpha": 2.0, "logvar": 0.5}


def _model(case: str) -> torch.nn.Module:
    """The released model with its own initialisation, networks of a smaller width."""
    from model.ilcm_vae import ILCM_VAE
    from model.latent_models_vae import FCGaussianLatentModel
    from model.nn import MLP

    past = case == "temporal"
    actions = 0 if past else A
    latent = FCGaussianLatentModel(
        Z, actions, 0, [], "MLP",
        n_lag=int(past), n_layers=LAYERS, hid_dim=WIDTH, freeze_m=True,
        freeze_dummies=True, no_drawhard=True, output_delta=False,
        var_p_mode="independent", one_gumbel_sample=True,
    )  # fmt: skip
    options = SimpleNamespace(
        z_max_dim=Z, n_lag=int(past), full_seq=past, beta=1.0, learn_decoder_var=True,
        init_decoder_var=np.exp(-1.3), freeze_dummies=True, encoder="tabular",
        decoder="tabular", encoder_depth_multiplier=1, decoder_depth_multiplier=1,
        bn_enc_dec=False,
    )  # fmt: skip
    model = ILCM_VAE(latent, (X,), actions, 0, [], options)
    model.encoder = MLP(X, 2 * Z, WIDTH, LAYERS, batch_norm=False)
    model.decoder = MLP(Z, X, WIDTH, LAYERS, batch_norm=False)
    return model


def _draw(seed: int) -> Arrays:
    """New observations, actions, noise and parameters of both cases."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    drawn: Arrays = {}
    for case, coeff in COEFF.items():
        steps, edges = (1, A) if case == "action" else (2, Z)
        for name, parameter in _model(case).named_parameters():
            scale = _SPREAD.get(name.rsplit(".")[-1], 0.0)
            noise = scale * rng.normal(size=tuple(parameter.shape))
            drawn[f"{case}/param/{name}"] = parameter.detach().numpy() + noise
        drawn[f"{case}/x"] = rng.normal(size=(BATCH, steps, X))
        drawn[f"{case}/a"] = rng.normal(size=(BATCH, A))
        drawn[f"{case}/eps"] = rng.normal(size=(BATCH, steps, Z))
        drawn[f"{case}/mask_noise"] = rng.logistic(size=(Z, edges))
        drawn[f"{case}/coeff"] = np.array(coeff)
    return drawn


def _case(case: str, given: dict[str, torch.Tensor]) -> Arrays:
    """Bound, penalty, loss and gradients of one case, `given` without its prefix."""
    model = _model(case)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(given[f"param/{name}"])
    latent: Any = model.latent_model
    mask = latent.gc if case == "action" else latent.g
    mask.sample_logistic = lambda shape: given["mask_noise"].expand(shape)
    actions = given["a"] if case == "action" else None
    with fixed_noise(given["eps"]):
        elbo, rec, kl, _ = model.elbo(given["x"], actions, None)
    reg = (latent.gc_regularizer if case == "action" else latent.g_regularizer)()
    loss = -elbo.mean() + given["coeff"] * reg / X
    loss.backward()
    found = {
        f"grad/{name}": parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return as_arrays(
        found | {"elbo": elbo, "rec": rec, "kl": kl, "reg": reg, "loss": loss}
    )


def _compute(given: Arrays) -> Arrays:
    """Losses and gradients of both cases, in float64."""
    torch.set_default_dtype(torch.float64)
    found: Arrays = {}
    for case in COEFF:
        prefix = f"{case}/"
        inside = {
            name.removeprefix(prefix): torch.tensor(array)
            for name, array in given.items()
            if name.startswith(prefix)
        }
        found |= {prefix + k: v for k, v in _case(case, inside).items()}
    return found


GOLDEN = Golden("7fd50de", _draw, _compute)

"""Sparse mixing with changing domains: CG-VAE.

Latents are independent given a domain, their distributions change from domain to
domain, and every observed variable depends on few of them. A VAE whose prior is a
monotone flow for every latent and domain, and whose decoder is pressed towards a sparse
Jacobian, looks for them; the encoder never sees the domain.
`identifiability.mixing_report` says what theory promises for a mixing pattern and a
number of domains.

Source: Li et al. 2025, "Synergy Between Sufficient Changes and Sparse Mixing Procedure
for Disentangled Representation Learning" (arXiv 2503.00639). No code of its VAE is
public, and its tables and settings were not available: this is a reconstruction, and
nothing here reproduces a table of it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxdis.identifiability import SUPPORT_THRESHOLD
from jaxdis.report import CORRELATION, later
from jaxdis.systems.sparse_mixing import scores
from jaxdis.systems.sparse_mixing.config import Config, Hyper, default_hyper, sized
from jaxdis.systems.sparse_mixing.model import cgvae_loss
from jaxdis.systems.sparse_mixing.presets import PRESETS
from jaxdis.systems.sparse_mixing.system import batches, make
from jaxdis.types import Comparison, Figure, Method

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from jaxdis.report.read import Record

__all__ = [
    "METHOD",
    "Config",
    "Hyper",
    "cgvae_loss",
    "default_hyper",
    "make",
    "sized",
]

_FIGURES = f"{__name__}.figures"


def _compare_domains(records: "Mapping[str, Record]") -> "Drawing | None":
    from jaxdis.systems.sparse_mixing.comparison import compare_domains

    return compare_domains(records)


METHOD = Method(
    name="sparse_mixing",
    citation="""@inproceedings{li2025synergy,
  title = {Synergy Between Sufficient Changes and Sparse Mixing Procedure for
    Disentangled Representation Learning},
  author = {Li, Zijian and Fan, Shunxing and Zheng, Yujia and Ng, Ignavier and
    Xie, Shaoan and Chen, Guangyi and Dong, Xinshuai and Cai, Ruichu and Zhang, Kun},
  booktitle = {International Conference on Learning Representations},
  year = {2025},
  eprint = {2503.00639},
  archiveprefix = {arXiv},
  note = {no code of CG-VAE is public; jaxdis holds a reconstruction},
}""",
    needs=("u",),
    make=make,
    hyper=Hyper,
    default_hyper=default_hyper,
    batches=batches,
    presets=PRESETS,
    scores=scores.scores,
    arrays=scores.ARRAYS,
    sized=sized,
    positive=("learning_rate", "decay_steps"),
    fractions=("conditioning",),
    graphs=("jacobian",),
    codes=("latent",),
    sparser={"alpha": "higher"},
    figures=(
        CORRELATION,
        Figure(
            "jacobian",
            "Mean |dx / dz| std z of the decoder on test rows, latents matched to the "
            "true ones where these are known, each row divided by its largest. Black: "
            "entries of the true mask; orange: entries on the wrong side of "
            f"{SUPPORT_THRESHOLD}. Of images a map for each latent, of the seed's "
            "largest. Of the seeds that did not fail the one with the fewest wrong "
            "entries, then the highest MCC, and the one in the middle; without a "
            "truth, that with the least error of held-out rows.",
            later(_FIGURES, "draw_jacobians"),
        ),
        Figure(
            "latents",
            "Densities of latents by domain, smoothed, each divided by its highest: "
            "true ones, and posterior means of the best seed by them, matched and "
            "with the sign of the true. Below, one against the other and their "
            "correlation. Without a truth, posterior means of the seed with the least "
            "error of held-out rows. Of large runs the first points and latents.",
            later(_FIGURES, "draw_latents"),
        ),
    ),
    comparisons=(
        Comparison(
            "domains",
            "At the end, by the number of domains: mean and one sample deviation "
            "over seeds; dots are seeds. Dashed: observations as they are in the place "
            "of latents, mean over seeds.",
            _compare_domains,
        ),
    ),
)

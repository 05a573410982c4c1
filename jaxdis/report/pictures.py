"""The pictures of what every run has, whatever its method."""

from jaxdis.report.agreement import draw_agreement
from jaxdis.report.curves import CURVES
from jaxdis.report.effects import draw_traversals
from jaxdis.report.points import draw_choice
from jaxdis.report.structure import draw_structure
from jaxdis.types import Figure

__all__ = ["AFTER", "BEFORE"]

BEFORE = (
    *CURVES,
    Figure(
        "choice",
        "The held-out objective, the agreement of seeds, and a score against the truth "
        "where it is known, by grid point: mean and one standard error over seeds; "
        "dots are seeds. Shaded: points whose objective is within one standard error "
        "of the best, paired over seeds, or that lose at most half of what the worst "
        "loses. "
        "Dashed: of these the one to take.",
        draw_choice,
    ),
)
"""Pictures in front of those of the method."""

AFTER = (
    Figure(
        "agreement",
        "How well the codes of two seeds agree on test rows: the mean correlation of "
        "the codes that are matched to each other, a dead code counting 0. Beside it "
        "the median of each seed, after which the seeds are ordered.",
        draw_agreement,
    ),
    Figure(
        "structure",
        "Learned graphs and heads, absolute. Where codes are numbered, those of every "
        "seed are in the order of the seed that agrees most with the others. Of many "
        "points the one to take.",
        draw_structure,
    ),
    Figure(
        "traversals",
        "Of the seed that agrees most with the others, what the decoder makes of a "
        "code that moves by two standard deviations to both sides while the others "
        "stay. Of vectors: the mean absolute change of each observed variable, in its "
        "standard deviations, on test rows. Of images: the first test image, the codes "
        "that change it most in front. Of many points the one to take.",
        draw_traversals,
    ),
)
"""Pictures behind those of the method; one that it drew itself is left out."""

"""The pictures of what every run has, whatever its method."""

from jaxdis.report.agreement import draw_agreement
from jaxdis.report.blocks import draw_promised
from jaxdis.report.curves import CURVES
from jaxdis.report.effects import draw_traversals
from jaxdis.report.points import draw_choice
from jaxdis.report.structure import draw_structure
from jaxdis.types import Figure

__all__ = ["AFTER", "BEFORE", "SO_FAR"]

PROMISED = Figure(
    "promised_and_reached",
    "Left: which latents a code may depend on, by theory and what is known of these "
    "data; dark its own, light those that may be mixed in. Frames are the blocks that "
    "are told apart, and order the latents. Right: true latents against the codes "
    "matched to them on test rows, mean over seeds; outside the pattern nothing is "
    "left but what the latents themselves have in common.",
    draw_promised,
)

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
    PROMISED,
)
"""Pictures in front of those of the method."""

SO_FAR = (*CURVES, PROMISED)
"""Pictures of a run that has not finished."""

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

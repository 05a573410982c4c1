"""Numbers over seeds: what tables, pages, logs and README take their figures from.

All are over the last axis, so that values may be `[point, seed]`; a single number is
that of a single seed. A seed that failed or is missing holds a value that is not
finite: it is left out, and `count` says how many are left. Where too few are left for a
number, the number is NaN, without a warning. Whatever draws takes a `seed`, and draws
the same again.
"""

from jaxdis.statistics.bootstrap import KINDS, bootstrap_interval
from jaxdis.statistics.corrections import (
    CORRECTIONS,
    benjamini_hochberg,
    bonferroni,
    holm,
)
from jaxdis.statistics.pairs import Gain, paired_gain, permutation_test
from jaxdis.statistics.profiles import Profile, performance_profile
from jaxdis.statistics.seeds import (
    CONFIDENCE,
    Summary,
    count,
    deviation,
    interval,
    iqm,
    mean,
    median,
    standard_error,
    summary,
)

__all__ = [
    "CONFIDENCE",
    "CORRECTIONS",
    "KINDS",
    "Gain",
    "Profile",
    "Summary",
    "benjamini_hochberg",
    "bonferroni",
    "bootstrap_interval",
    "count",
    "deviation",
    "holm",
    "interval",
    "iqm",
    "mean",
    "median",
    "paired_gain",
    "performance_profile",
    "permutation_test",
    "standard_error",
    "summary",
]

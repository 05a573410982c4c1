"""The points of a sweep side by side, as the command line prints them."""

from collections.abc import Sequence

from rich.console import Group

from jaxdis import log
from jaxdis.report.averages import in_words
from jaxdis.report.read import Record, failed_seeds, swept
from jaxdis.report.text import setting
from jaxdis.types import Score

__all__ = ["point_table"]


def point_table(record: Record, scores: Sequence[Score]) -> Group:
    """Of every point the mean and the sample deviation of scores over its seeds.

    Args:
      record: a run of several points.
      scores: one column each.

    Returns:
      One table, or several below each other where one is wider than the console.
    """
    names = swept([group.hyper for group in record.groups])
    points = [
        ", ".join(f"{n}={setting(group.hyper[n])}" for n in names)
        for group in record.groups
    ]
    columns = [["seeds"]]
    for group in record.groups:
        lost, all_ = len(failed_seeds(group)), len(group.seeds)
        columns[0].append(f"{all_ - lost} of {all_}" if lost else str(all_))
    for score in scores:
        cells = [in_words(group, score.name) for group in record.groups]
        columns.append([score.name, *cells])
    caption = "mean ± sample standard deviation over seeds"
    return log.table(record.name, [["point", *points], *columns], caption=caption)

"""The points of a sweep side by side, as the command line prints them."""

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from jaxdis import log
from jaxdis.report.read import Record, counted, failed_seeds, moments, swept
from jaxdis.report.text import plus_minus, setting
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
        cells = [
            plus_minus(moments(group, score.name)) + counted(group, score.name)
            for group in record.groups
        ]
        columns.append([score.name, *cells])
    found: list[Table] = []
    for part in log.fitting(columns, max(map(len, points))):
        table = Table(title=None if found else Text(record.name))
        table.add_column("point")
        for name, *_ in columns[part]:
            table.add_column(name, justify="right", no_wrap=True)
        for i, point in enumerate(points):
            table.add_row(Text(point), *(column[i + 1] for column in columns[part]))
        found.append(table)
    return Group(*found)

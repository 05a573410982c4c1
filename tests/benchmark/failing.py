"""A method as a user would write one, which fails when its data are there."""

from tests import own_method


def lost(config, spec, splits):
    """What it makes of rows."""
    raise RuntimeError("no rows\nmore words")


METHOD = own_method.METHOD._replace(name="failing", batches=lost)

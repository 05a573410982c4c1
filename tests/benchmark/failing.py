"""Methods as a user would write them, which fail."""

from tests import own_method


def lost(config, spec, splits):
    """What it makes of rows."""
    raise RuntimeError("no rows\nmore words")


def unmade(config, spec):
    """What it learns."""
    raise RuntimeError("no network")


METHOD = own_method.METHOD._replace(name="failing", batches=lost)
"""Fails when its data are there."""
BROKEN = own_method.METHOD._replace(name="broken", make=unmade)
"""Fails before."""

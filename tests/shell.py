"""Commands as they are typed, in this process."""

import sys

import pytest

from jaxdis import cli

__all__ = ["command"]


def command(*args):
    """Runs a command; returns its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["jaxdis", *map(str, args)])
        with pytest.raises(SystemExit) as exit:
            cli.main()
    return exit.value.code

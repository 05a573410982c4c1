"""`python -m jaxdis` is the command `jaxdis`."""

from jaxdis.cli import main

main()

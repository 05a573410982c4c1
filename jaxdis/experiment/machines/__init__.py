"""Many machines: who trains which of a run's rows, and one table of all of them."""

__all__: list[str] = []

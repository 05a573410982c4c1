"""Rows that are divided among processes: who trains which, and one table of all."""

__all__: list[str] = []

"""A data set as it is to who does not know how it was made."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from jaxdis import check, data
from jaxdis.types import DataSet, Spec, Splits, Truth, WorldsApart

__all__ = ["Blind", "data_set"]


def _tuples(value: Any) -> Any:
    """Lists, which files hold, as the tuples that settings hold."""
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def data_set(name: str, settings: Mapping[str, Any]) -> DataSet:
    """A built-in data set with some of its settings changed.

    Args:
      name: its name, as `jaxdis.data.names` has it.
      settings: the fields that differ from its defaults.

    Raises:
      ValueError: no such data set or field, with the nearest name; or a value of
        another type.
    """
    kind: Any = data.find(name)
    known = [one.name for one in fields(kind)]
    for setting in settings:
        if setting not in known:
            raise check.unknown(f"setting of {name}", setting, known)
    check.fields("settings", kind, settings)
    found: DataSet = kind(**{key: _tuples(value) for key, value in settings.items()})
    return found


@dataclass(frozen=True)
class Blind:
    """A data set without what is known of how it was made: true graphs and masks.

    A method that takes them for its own settings, as the number of edges of a graph,
    would know more than another. The true latents stay, for the scores.

    Attributes:
      name: the name of the data set.
      settings: the fields that differ from its defaults.
    """

    name: str = "mixed_factors"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def spec(self) -> Spec:
        """Sizes and names, and nothing that a user's own file would not tell.

        Raises:
          ValueError: as `data_set`, and as the data set itself.
        """
        spec = data_set(self.name, self.settings).spec()
        return spec._replace(truth=Truth(), breaks="")

    def load(self) -> Splits:
        """The rows.

        Raises:
          ValueError: as `spec`.
        """
        return data_set(self.name, self.settings).load()

    def load_worlds(self, numbers: tuple[int, ...]) -> Splits:
        """The rows of some worlds.

        Args:
          numbers: of the worlds.

        Raises:
          ValueError: as `spec`; or the data set cannot draw them by themselves.
        """
        found = data_set(self.name, self.settings)
        if not isinstance(found, WorldsApart):
            raise ValueError(f"data: {self.name} draws all of its worlds or none")
        return found.load_worlds(numbers)

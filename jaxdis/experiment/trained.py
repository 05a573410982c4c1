"""A trained run, as `train` returns it and `load` reads it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Float, PyTree

from jaxdis import check, report, systems
from jaxdis.data.own import Own
from jaxdis.experiment import choosing, truth, using
from jaxdis.experiment.again import method_of
from jaxdis.experiment.codes import Kind
from jaxdis.experiment.identity import read_settings
from jaxdis.experiment.model import Model, restore
from jaxdis.metrics import AGREEMENT
from jaxdis.report import read, unfinished
from jaxdis.report.choice import objective, side
from jaxdis.report.selection import (
    Selection,
    alike,
    in_turn,
    recommended,
    select,
    with_agreement,
)
from jaxdis.types import DataSet, Method, Rows

__all__ = ["Chosen", "Run", "load"]

Seed: TypeAlias = int | Literal["best"] | None
Arrays = dict[str, Float[np.ndarray, "point seed ..."]]


class Chosen(NamedTuple):
    """The seed that is used where one must be.

    Attributes:
      point: its grid point.
      seed: its number.
      criterion: why it was chosen, in words.
    """

    point: int
    seed: int
    criterion: str


@dataclass(frozen=True)
class Run:
    """A run and its directory; what it holds is read when it is first asked for.

    Attributes:
      directory: where it was written.
      method: its method.
      checkpoint: which state of it is used: "last", "best" by the score of the
        progress bar on validation rows, which may need the truth, as MCC does, or a
        number of steps.
      parts: the parts of the method that were replaced, by name.
    """

    directory: Path
    method: Method
    checkpoint: int | str = "last"
    parts: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        kept = f", checkpoint={self.checkpoint!r}" * (self.checkpoint != "last")
        return f"Run({str(self.directory)!r}, method={self.method.name!r}{kept})"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What it was trained with: config.json."""
        return read_settings(self.directory)

    @cached_property
    def record(self) -> read.Record:
        """What the directory holds of scores, curves and arrays.

        Raises:
          ValueError: the run has not finished.
        """
        return read.load(self.directory)

    @cached_property
    def model(self) -> Model:
        """The trained model, on one device."""
        return restore(
            self.directory, self.method, self.settings, self.checkpoint, self.parts
        )

    @property
    def scores(self) -> Arrays:
        """Every score on the test split; NaN where a seed has none."""
        groups = self.record.groups
        return {n: np.stack([g.final[n] for g in groups]) for n in self.record.scores}

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Every logged metric `[point, seed, t]`, and "step", when it was, `[t]`.

        Also of a run that has not finished, as far as it has come.
        """
        finished = unfinished.is_finished(self.directory)
        record = self.record if finished else unfinished.load(self.directory)
        groups = record.groups
        curves = {n: np.stack([g.curves[n] for g in groups]) for n in groups[0].curves}
        return {"step": groups[0].steps, **curves}

    @property
    def graphs(self) -> Arrays:
        """The learned graphs on the test split, by name."""
        return self._arrays(self.method.graphs)

    @property
    def heads(self) -> Arrays:
        """The learned heads of tasks on the test split, by name."""
        return self._arrays(self.method.heads)

    @property
    def params(self) -> PyTree:
        """All parameters `[point, seed, ...]`."""
        shape = len(self.model.points), len(self.model.seeds)
        return jax.tree.map(
            lambda a: a.reshape(*shape, *a.shape[1:]), self.model.state.params
        )

    def _arrays(self, names: Sequence[str]) -> Arrays:
        found = self.record.arrays
        return {name: found[name] for name in names if name in found}

    def choose(self, point: int | None = None) -> Chosen:
        """The seed whose codes agree most with those of the others.

        Where agreement is not known, it is that with the best held-out score that needs
        no true latents; where there is none, with the least loss.

        Args:
          point: the grid point; by default the one that the report recommends, the
            one of `select`; or else that of the best seed of all.

        Raises:
          ValueError: all seeds have failed.
        """
        record = self.record
        if point is not None:
            check.one_of("point", point, range(len(record.groups)))
        if point is None:
            point = recommended(record)
        alive = ~np.stack([group.failed for group in record.groups])
        if point is not None:
            alive &= np.arange(len(alive))[:, None] == point
        for criterion, worth in self._worth():
            known = np.where(alive & np.isfinite(worth), worth, -np.inf)
            if np.isfinite(known).any():
                at, seed = map(int, np.unravel_index(known.argmax(), known.shape))
                return Chosen(at, record.groups[at].seeds[seed], criterion)
        raise ValueError(f"all seeds of the run in {self.directory} have failed")

    def _worth(self) -> Iterator[tuple[str, Float[np.ndarray, "point seed"]]]:
        """What seeds may be chosen by, in words and more is better."""
        scores, history = self.scores, self.history
        score = objective(self.record)
        held_out = None if score is None else side(score) * scores[score.name]
        if AGREEMENT.name in scores:
            agreed = scores[AGREEMENT.name]
            worth = alike(agreed)
            if held_out is not None:  # two seeds agree equally with each other
                worth = in_turn(worth.ravel(), held_out.ravel()).reshape(agreed.shape)
            known = np.isfinite(agreed)
            yield "agreement with the other seeds", np.where(known, worth, np.nan)
        if score is not None and held_out is not None:
            yield f"held-out {score.title}", held_out
        if "loss" in history:
            yield "training loss", -history["loss"][..., -1]

    def select(
        self, kind: Kind = "mcc", *, data: DataSet | Own | None = None
    ) -> Selection:
        """Ranks the grid points and their seeds without truth; see `report.select`.

        Args:
          kind: how two seeds are compared for UDR: "mcc", which the run has kept; or
            "lasso" or "spearman", for which its test rows are drawn and encoded again.
          data: the data of the run, where these were given as arrays and are needed.

        Raises:
          ValueError: it has not finished, all seeds failed, there is nothing to choose
            by, or its codes cannot be had again.
        """
        record = choosing.finished(self.directory)
        if kind != "mcc":
            pairs = choosing.agreement_again(
                self.directory,
                record,
                kind,
                self.model.state.params,
                method=self.method,
                data=data,
                parts=self.parts,
            )
            record = with_agreement(record, pairs, kind)
        return select(record)

    def encode(
        self, x: Any, *, seed: Seed = None, point: int | None = None
    ) -> Float[np.ndarray, "..."]:
        """Codes of new observations, which are prepared as those of the training.

        Args:
          x: observations `[n, ...]`: numbers in the units of the training's data;
            images as bytes or as numbers in [0, 1]; `Rows`; or a frame with columns of
            the same names.
          seed: the number of a seed, "best" for that of `choose`; by default all.
          point: the grid point; by default the first, or that of the "best".

        Returns:
          `[seed, n, ..., z]`, or `[n, ..., z]` of one seed.

        Raises:
          ValueError: x is not what the run was trained on; or the run cannot be used.
        """
        number, at = self._row(seed, point)
        return using.encode(self.model, x, seed=number, point=at)

    def decode(
        self, z: Any, *, seed: Seed = None, point: int | None = None
    ) -> Float[np.ndarray, "..."]:
        """Observations of codes, in the units of the training's data.

        Args:
          z: codes as `encode` gives them: `[seed, n, ..., z]`, or `[n, ..., z]` of one
            seed.
          seed: the number of a seed, "best" for that of `choose`; by default all.
          point: the grid point; by default the first, or that of the "best".

        Returns:
          `[seed, n, ...]`, or `[n, ...]` of one seed.

        Raises:
          ValueError: z has another shape; or the run cannot be used.
        """
        number, at = self._row(seed, point)
        return using.decode(self.model, z, seed=number, point=at)

    def traverse(
        self,
        x: Any,
        latents: Sequence[int] | None = None,
        span: float = 2.0,
        steps: int = 7,
        *,
        seed: Seed = "best",
        point: int | None = None,
        row: int = 0,
    ) -> Float[np.ndarray, "latent step ..."]:
        """What changes where one latent moves: decoded codes around that of one row.

        Args:
          x: observations, at least two.
          latents: which latents move; by default all.
          span: how far, to both sides, in standard deviations of the codes of x.
          steps: the number of values of each latent.
          seed: the number of a seed, "best" for that of `choose`; None for the first.
          point: the grid point; by default the first, or that of the "best".
          row: the row of x from which they move.

        Raises:
          ValueError: x is not what the run was trained on, or one of the others does
            not exist; or the run cannot be used.
        """
        number, at = self._row(seed, point)
        number = self.model.seeds[0] if number is None else number
        return using.traverse(
            self.model,
            x,
            seed=number,
            point=at,
            latents=latents,
            span=span,
            steps=steps,
            row=row,
        )

    def predict(
        self, rows: Any, *, seed: Seed = None, point: int | None = None
    ) -> Float[np.ndarray, "..."]:
        """What the method predicts of new rows: the next frames, or labels.

        Args:
          rows: `Rows`, or observations alone.
          seed: the number of a seed, "best" for that of `choose`; by default all.
          point: the grid point; by default the first, or that of the "best".

        Returns:
          `[seed, n, ...]`, or `[n, ...]` of one seed.

        Raises:
          ValueError: the method predicts nothing; or the run cannot be used.
        """
        number, at = self._row(seed, point)
        return using.predict(self.model, rows, seed=number, point=at)

    def evaluate(self, rows: Rows) -> dict[str, Float[np.ndarray, "point seed"]]:
        """The scores of the method's report on other rows; see `jaxdis.read`."""
        return using.evaluate(self.model, rows)

    def truth_and_codes(self, rows: Rows | None = None) -> truth.Encoded:
        """True latents and codes, for `metrics.evaluate`; see `truth.of_rows`.

        Args:
          rows: with x and z; by default the held-out rows of the training's data.
        """
        if rows is not None:
            return truth.of_rows(self.model, rows)
        return truth.of_test_rows(self.directory, self.model, self.parts)

    def _row(self, seed: Seed, point: int | None) -> tuple[int | None, int]:
        """The number of the seed, None for all, and the grid point."""
        if seed == "best":
            chosen = self.choose(point)
            return chosen.seed, chosen.point
        return seed, 0 if point is None else point

    def rows(self) -> list[dict[str, float]]:
        """One row per grid point and seed.

        First what differs between points, then the seed and its scores, and at the end
        the hyper-parameters that all points have in common.
        """
        groups = self.record.groups
        varied = read.swept([group.hyper for group in groups])
        return [
            {name: group.hyper[name] for name in varied}
            | {"seed": seed, "failed": bool(group.failed[i])}
            | {name: float(values[i]) for name, values in group.final.items()}
            | {n: value for n, value in group.hyper.items() if n not in varied}
            for group in groups
            for i, seed in enumerate(group.seeds)
        ]

    def table(self) -> Any:
        """`rows` as a frame of pandas; the rows themselves where that is missing."""
        try:
            import pandas
        except ImportError:
            return self.rows()
        return pandas.DataFrame(self.rows())

    def report(self) -> Path:
        """Draws the run, as far as it has come; returns the path of its page."""
        return report.build(self.directory, self.method)


def load(
    directory: Path | str,
    *,
    checkpoint: int | str = "last",
    encoder: Any = None,
    decoder: Any = None,
    optimiser: Any = None,
    loss: Any = None,
    method: Method | str | None = None,
) -> Run:
    """A trained run, in any process and on any devices, without its data.

    Of a run of an earlier version scores and report can be read, and nothing else.

    Args:
      directory: the directory of the run.
      checkpoint: which state of it is used, of those that were kept; see `Run`.
      encoder, decoder: the networks that the run was trained with, if they were not the
        method's own: a directory cannot hold them.
      optimiser, loss: likewise; what is asked of a trained model does not need them.
      method: the method, where it is not where the run says.

    Raises:
      ValueError: there is no run, its method is gone, or it lacks what is asked for.
    """
    path = Path(directory).absolute()
    settings = read_settings(path)
    if method is None:
        found = method_of(path, settings)
    else:
        found = systems.find(method) if isinstance(method, str) else method
    given = {
        "encoder": encoder,
        "decoder": decoder,
        "optimiser": optimiser,
        "loss": loss,
    }
    parts = {name: part for name, part in given.items() if part is not None}
    run = Run(path, found, checkpoint, parts)
    if parts or checkpoint != "last":
        _ = run.model  # what was asked for by name is looked at now
    return run

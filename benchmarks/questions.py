"""What a device is asked, in order, and what follows from its answers.

Nothing here needs JAX: the process that keeps the record never touches the device.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["TOLERANCE", "Question", "conclusions", "questions"]

TOLERANCE = 1e-5
"""How far a kernel may be from the definition, relative to the largest number."""
STEPS, SEEDS = 300_000, 5
"""A published run."""
THEIRS = (4.1, 5.2)
"""Hours of one seed of such runs by the authors' logs, on their GPU."""
TF32, FLOAT32 = "default", "highest"
"""The precision of products: a GPU's default rounds their operands to tf32."""

# b, n, k, h: full-size ActionNonDiag, and 64 latents of the same width.
_LAYERS = ((1024, 10, 10, 512), (1024, 64, 64, 512))
# The quickstart's potentials, those of images, and the published size of 5.
_FLOWS = ((32, 12, 3, 32), (512, 64, 4, 64), (128, 324, 5, 324))
_TINY_NETS = {"encoder": (8,), "decoder": (8,), "transition": (8,), "batch": 16}
_TINY_DATA = {"samples": 1_000}


class Question(NamedTuple):
    """One row of the record.

    Attributes:
      section: which part of the record it belongs to; each has a process of its own.
      name: what the row is called.
      asks: the function of `benchmarks.answers` that answers.
      given: its arguments.
      limit_s: the most seconds that it may take.
    """

    section: str
    name: str
    asks: str
    given: Mapping[str, Any]
    limit_s: float = 90.0


def _kernels(tiny: bool) -> Iterator[Question]:
    layers = ((16, 4, 2, 8),) if tiny else _LAYERS
    flows = ((8, 4, 2, 8),) if tiny else _FLOWS
    sizes = [("gumbel_mask", size, 1) for size in layers]
    sizes += [("potential_flow", size, 1) for size in flows]
    # Seeds are an axis of one launch.
    sizes += [("gumbel_mask", layers[0], 4), ("potential_flow", flows[-1], 4)]
    for operation, size, seeds in sizes:
        for form in ("arrays", "xla", "kernel"):
            words = " x ".join(map(str, size))
            given = {"operation": operation, "size": size, "form": form, "seeds": seeds}
            name = f"{operation} {words}, {seeds} seeds, {form}"
            yield Question("kernels", name, "kernel", given, 45.0)


def _full_size(tiny: bool) -> Iterator[Question]:
    small = {"config": _TINY_NETS, "data": _TINY_DATA, "chunk": 2} if tiny else {}
    for precision, called in ((TF32, "tf32"), (FLOAT32, "float32")):
        for seeds in (1,) if tiny else (1, 4, 16):
            given = {"name": "ActionNonDiag", "seeds": seeds, "precision": precision}
            yield Question(
                "full size",
                f"ActionNonDiag, {seeds} seeds, {called}",
                "full_size",
                {"masks": "batch", "chunk": 20} | given | small,
            )


def _quickstart(tiny: bool) -> Iterator[Question]:
    for seeds in (2,) if tiny else (8, 64, 512, 4096):
        given: dict[str, Any] = {"seeds": seeds, "chunk": 2 if tiny else 50}
        given |= {"config": _TINY_NETS if tiny else {}}
        given |= {"data": {"worlds": 8, "samples": 1_000 if tiny else 20_000}}
        yield Question("quickstart", f"{seeds} seeds", "quickstart", given)


def _flow(tiny: bool) -> Iterator[Question]:
    net = {"width": 8, "z_dim": 8, "potential_width": 8, "batch": 4}
    for seeds in (1,) if tiny else (1, 4):
        given = {"seeds": seeds, "config": net if tiny else {}}
        yield Question("flow", f"MNIST's size, {seeds} seeds", "flow", given, 120.0)


def _masks(tiny: bool) -> Iterator[Question]:
    """A step with a mask for each example: after all else, as it may find no time."""
    small = {"config": _TINY_NETS, "data": _TINY_DATA, "chunk": 2} if tiny else {}
    for masks in ("batch", "example", "kernel", "arrays"):
        given = {"name": "TimeNonDiag", "seeds": 1, "precision": TF32, "masks": masks}
        yield Question(
            "masks", f"TimeNonDiag, {masks}", "full_size", {"chunk": 20} | given | small
        )


def questions(tiny: bool = False) -> tuple[Question, ...]:
    """All of them, the most important ones first.

    Args:
      tiny: sizes that any CPU answers at once, to try the command.
    """
    of_sections = (_kernels, _full_size, _quickstart, _flow, _masks)
    # Tiny sizes are for trying, on machines that may have other things to do.
    patience = 10 if tiny else 1
    return tuple(
        one._replace(limit_s=patience * one.limit_s)
        for section in of_sections
        for one in section(tiny)
    )


def _projected(rows: Sequence[Mapping[str, Any]], precision: str) -> dict[str, Any]:
    """Hours of 5 seeds, on the line through the numbers of seeds around it."""
    step_s = {
        row["seeds"]: row["s_per_step"]
        for row in rows
        if row["section"] == "full size" and row.get("precision") == precision
    }
    below = max((n for n in step_s if n <= SEEDS), default=None)
    above = min((n for n in step_s if n > SEEDS), default=None)
    if below is None:
        return {"not_known": "no number of seeds up to 5 was measured"}
    if above is None:  # as if seeds in excess took turns
        seconds = step_s[below] * SEEDS / below
    else:
        share = (SEEDS - below) / (above - below)
        seconds = step_s[below] + share * (step_s[above] - step_s[below])
    return {"hours": STEPS * seconds / 3600, "measured_seeds": sorted(step_s)}


def _times(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows of each operation, size and number of seeds, by the form asked for."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        if row["section"] == "kernels" and "form" in row:
            key = (row["operation"], row["size"], row["seeds"])
            found.setdefault(key, {})[row["form"]] = row
    return found


def _fastest(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The default form that follows, and why.

    A kernel has to run at some size, to be as near to the definition as asked wherever
    it runs, and to take no longer than XLA's form in the geometric mean over sizes of
    each operation.
    """
    ratios: dict[str, list[float]] = {}
    against: list[str] = []
    forms, platforms = set(), set()
    for (operation, size, seeds), by_form in _times(rows).items():
        kernel, plain = by_form.get("kernel"), by_form.get("xla")
        at = f"{operation} {size}, {seeds} seeds"
        if kernel is None or plain is None:
            against.append(f"{at}: one of the forms has no number")
        elif not kernel["refused"]:
            ratios.setdefault(operation, []).append(kernel["ms"] / plain["ms"])
            forms.add(kernel["ran"])
            platforms.add(kernel["platform"])
            if not kernel["within_tolerance"]:
                against.append(f"{at}: error above {TOLERANCE:g}")
    means = {
        name: math.exp(sum(map(math.log, some)) / len(some))
        for name, some in ratios.items()
    }
    against += [f"{n}: {m:.3g} times XLA's time" for n, m in means.items() if m > 1]
    if not means:
        against.append("no kernel ran")
    chosen = forms.pop() if len(forms) == 1 and not against else "xla"
    return {
        "FASTEST": dict.fromkeys(platforms, chosen),
        "kernel_time_over_xla": means,
        "against_the_kernel": against,
    }


def conclusions(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What follows from the rows that there are.

    Args:
      rows: answers, and errors in the place of answers.
    """
    good = [row for row in rows if "error" not in row]
    return {
        f"{SEEDS} seeds x {STEPS:,} steps": {
            "tf32": _projected(good, TF32),
            "float32": _projected(good, FLOAT32),
            "hours_of_one_seed_by_the_authors": THEIRS,
        },
        "default_form": _fastest(good),
    }

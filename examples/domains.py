"""A real table with natural domains: marriages, by the occupation of the wife.

    pip install "jaxdis[examples]"
    python examples/domains.py

The table is Fair's survey of 6,366 married women (`statsmodels.datasets.fair`, which
comes with the package): eight numbers of each, and her occupation, of six. Occupations
differ in age, schooling and contentment, so that they are domains: what is behind the
numbers has another distribution in each. Nobody knows the true latents. What can be
known is whether seeds that start anywhere find the same ones: their agreement (UDR, the
MCC of the codes of two seeds) is printed for every weight of the sparsity of the
mixing, 0 among them, beside the error of held-out rows and the columns that each
latent moves.

Source: Fair 1978, "A Theory of Extramarital Affairs", Journal of Political Economy 86.
"""

import argparse

import numpy as np

import jaxdis

COLUMNS = [
    "rate_marriage", "age", "yrs_married", "children", "religious", "educ",
    "occupation_husb", "log_affairs",
]  # fmt: skip
OCCUPATIONS = [
    "student", "farming or unskilled", "white-collar", "teaching or nursing",
    "managing or business", "professional",
]  # fmt: skip
MOVED = 0.3  # of a latent's largest effect


def read() -> jaxdis.Rows:
    """The survey: eight columns x, and the occupation as the domain u."""
    from statsmodels.datasets import fair

    table = fair.load_pandas().data
    table["log_affairs"] = np.log1p(table["affairs"])  # a few are very large
    table["occupation"] = [OCCUPATIONS[int(i) - 1] for i in table["occupation"]]
    return jaxdis.read(table, x=COLUMNS, u="occupation")


def main() -> None:
    """Trains all weights and seeds at once, and prints what they agree on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, help="by default by the size of the table")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--out", help="directory of the run")
    asked = parser.parse_args()
    run = jaxdis.train(
        "sparse_mixing/own",
        data=read(),
        seeds=asked.seeds,
        steps=asked.steps,
        out=asked.out,
    )
    record = run.record
    print("\nalpha  agreement  squared error  Jacobian L1")
    for group, agreement in zip(record.groups, record.results["udr"], strict=True):
        words = "    -" if agreement is None else f"{agreement:9.3f}"
        error, density = (
            float(np.nanmean(group.final[name]))
            for name in ("reconstruction", "jac_std_l1")
        )
        print(f"{group.hyper['alpha']:5g}  {words}  {error:13.3f}  {density:11.3f}")
    for group, jacobians in zip(record.groups, record.arrays["jacobian"], strict=True):
        print(f"\nalpha {group.hyper['alpha']:g}, seed {group.seeds[0]}:")
        for j, effect in enumerate(jacobians[0].T):
            moved = np.flatnonzero(effect > MOVED * max(effect.max(), 1e-12))
            strongest = moved[np.argsort(-effect[moved])]
            print(f"  latent {j}: {', '.join(COLUMNS[i] for i in strongest)}")
    print(f"\nreport: {run.report()}")


if __name__ == "__main__":
    main()

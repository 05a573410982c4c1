from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats
from sklearn.linear_model import Lasso, LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import accuracy_score, r2_score

from jaxdis import heads, losses
from jaxdis.heads import lasso as blocks
from jaxdis.heads import problem

STATIC = ("classes", "relative", "solver", "gradient", "rounds", "iters")
fit = jax.jit(heads.fit_heads, static_argnames=STATIC)
ridge_fit = jax.jit(heads.ridge_heads, static_argnames="classes")
bound = jax.jit(heads.penalty_bound, static_argnames="classes")
head_loss = jax.jit(heads.head_loss, static_argnames="classes")
scores = jax.jit(heads.scores, static_argnames="classes")
predict = jax.jit(heads.predict)
standardise = jax.jit(heads.standardise)
price_of = jax.jit(losses.sharing_price)
converged = partial(fit, rounds=1, iters=500)


def regression(t=4, n=40, m=6, seed=0):
    """Independent features; every task uses two of them."""
    rng = np.random.default_rng(seed)
    f = rng.normal(size=(t, n, m))
    w = rng.normal(size=(t, m)) * (rng.random((t, m)).argsort(1) < 2)
    y = np.einsum("tnm,tm->tn", f, w) + 0.1 * rng.normal(size=(t, n))
    return np.float32(f), np.float32(y)


def classification(t=3, n=150, m=4, c=4, seed=0):
    """Independent features, noisy labels of c classes."""
    rng = np.random.default_rng(seed)
    f, w = rng.normal(size=(t, n, m)), rng.normal(size=(t, m, c))
    labels = (f @ w + rng.gumbel(size=(t, n, c))).argmax(-1)
    return np.float32(f), np.int32(labels)


def sample(classes):
    return regression() if classes is None else classification(c=classes)


@jax.jit
def joint(w, b, features, targets, alpha, beta, ridge):
    """J with the weights of its joint form: all terms are means over tasks."""
    t, _, c = w.shape
    outputs = jnp.einsum("tnm,tmc->tnc", features, w) + b[:, None]
    if c == 1:
        per_task = 0.5 * ((outputs[..., 0] - targets) ** 2).mean(1)
    else:
        chosen = jnp.take_along_axis(outputs, targets[..., None], 2)[..., 0]
        per_task = (jax.nn.logsumexp(outputs, -1) - chosen).mean(1)
    size = jnp.abs(w).sum((0, 2)) / (t * c)
    p = (1e-3 + size) / (1e-3 + size).sum()
    entropy = -(p * jnp.log(p)).sum()
    squares = ridge / 2 * (w**2).sum() / t
    return per_task.mean() + squares + alpha * size.sum() + beta * entropy


joint_slopes = jax.jit(jax.grad(joint, (0, 1)))


def centred(w):
    """Without the shift of all classes that costs nothing where no weight is 0."""
    return w - np.mean(w, -1, keepdims=True) if w.shape[-1] > 1 else np.asarray(w)


def relative_error(actual, expected):
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


def test_by_hand():
    # G = F'F / 2 = diag(2, 1/2), r = F'y / 2 = (2, 1/4): w = (r - alpha) / diag G.
    f, y = jnp.float32([[[2, 0], [0, 1]]]), jnp.float32([[2, 0.5]])
    done = fit(f, y, alpha=0.1, ridge=0.0, rounds=1, iters=100)
    np.testing.assert_allclose(done.w[0, :, 0], [0.95, 0.3], rtol=1e-5)
    loss = ((2 * 0.95 - 2) ** 2 + (0.3 - 0.5) ** 2) / 4
    np.testing.assert_allclose(done.objectives, [loss + 0.1 * 1.25], rtol=1e-5)
    np.testing.assert_allclose(done.usage, [0.951, 0.301], rtol=1e-5)
    np.testing.assert_allclose(done.prices, [[0.1, 0.1]], rtol=1e-6)
    np.testing.assert_array_equal(done.b, [[0.0]])
    assert done.clipped == 0


@pytest.mark.parametrize("alpha", [0.02, 0.2])
def test_lasso_of_scikit_learn(alpha):
    f, y = regression()
    ours = converged(f, y, alpha=alpha, ridge=0.0)
    assert ours.kkt.max() < 1e-5
    for t in range(len(f)):
        theirs = Lasso(alpha, fit_intercept=False, tol=1e-10, max_iter=10_000)
        theirs.fit(np.float64(f[t]), np.float64(y[t]))
        np.testing.assert_allclose(ours.w[t, :, 0], theirs.coef_, atol=1e-4)
        np.testing.assert_array_equal(ours.w[t, :, 0] == 0, theirs.coef_ == 0)
    assert (ours.w == 0).any()
    assert (ours.w != 0).any((1, 2)).all()


@pytest.mark.parametrize("classes", [3, 4])
def test_logistic_regression_of_scikit_learn(classes):
    # Weights of an even number of classes can be shifted together at no cost, as long
    # as the middle two are not both 0: only the predictions are unique then.
    alpha = 0.03
    f, y = classification(t=2, c=classes, m=5, seed=1)
    ours = fit(f, y, alpha=alpha, classes=classes, rounds=1, iters=1000)
    outputs = special.softmax(predict(ours.w, ours.b, f), -1)
    assert ours.kkt.max() < 1e-5
    for t in range(len(f)):
        theirs = LogisticRegression(
            C=1 / (alpha * len(y[t])),
            l1_ratio=1,
            solver="saga",
            tol=1e-9,
            max_iter=20_000,
            random_state=0,
        )
        theirs.fit(np.float64(f[t]), y[t])
        np.testing.assert_allclose(outputs[t], theirs.predict_proba(f[t]), atol=1e-4)
        if classes == 3:
            np.testing.assert_allclose(ours.w[t], theirs.coef_.T, atol=1e-4)
            b, c = np.asarray(ours.b[t]), theirs.intercept_
            np.testing.assert_allclose(b - b.mean(), c - c.mean(), atol=1e-4)
    assert (ours.w == 0).any()


def acceptance_set(kind, seed=0):
    """16 tasks of 40 samples on 10 features: of 5 factors, each task needs 1 to 3."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(-1.7, 1.7, (16, 40, 5))
    w = np.zeros((16, 5))
    for row in w:
        support = rng.choice(5, rng.integers(1, 4), replace=False)
        row[support] = rng.normal(size=len(support))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    y = np.einsum("tnd,td->tn", z, w) + 0.1 * rng.normal(size=z.shape[:2])
    if kind == "duplicates":
        f = np.concatenate([z, z + 0.05 * rng.normal(size=z.shape)], -1)
    else:
        f = z
        for width in (128, 128, 10):
            f = f @ (rng.normal(size=(f.shape[-1], width)) * np.sqrt(2 / f.shape[-1]))
            f = np.where(f > 0, f, 0.1 * f)
        f = (f - f.mean((0, 1))) / f.std((0, 1))
    return np.float32(f), np.float32(y)


@pytest.mark.parametrize("kind", ["untrained encoder", "duplicates"])
def test_convergence(kind):
    f, y = acceptance_set(kind)
    shared = fit(f, y, alpha=0.05, beta=0.05, rounds=12, iters=60)
    assert shared.kkt.shape == (16,)
    assert shared.kkt.max() <= 1e-4
    assert np.diff(shared.objectives).max() <= 1e-5
    assert shared.objectives[-1] < shared.objectives[0] - 1e-3
    alone = converged(f, y, alpha=0.05)
    assert alone.kkt.max() <= 1e-4
    # Few steps are less than converged, and kkt says so.
    assert fit(f, y, alpha=0.05, rounds=1, iters=5).kkt.max() > 1e-3
    # Sharing: fewer features, and of each pair of duplicates mostly one.
    assert stats.entropy(shared.usage) < stats.entropy(alone.usage)


@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("beta", [0.0, 0.05])
def test_optimality_is_measured_for_the_prices_of_the_last_round(classes, beta):
    f, y = sample(classes)
    got = fit(f, y, alpha=0.03, beta=beta, classes=classes, rounds=3, iters=3)
    ridge = 1e-3 if classes is None else 0.0
    slopes = joint_slopes(got.w, got.b, f, y, 0.0, 0.0, ridge)
    slope_w, slope_b = (len(f) * np.asarray(slope) for slope in slopes)
    price, w = np.asarray(got.prices)[:, :, None], np.asarray(got.w)
    violation = np.where(
        w != 0,
        np.abs(slope_w + price * np.sign(w)),
        np.maximum(np.abs(slope_w) - price, 0),
    ).max((1, 2))
    if classes is not None:
        violation = np.maximum(violation, np.abs(slope_b).max(1))
    np.testing.assert_allclose(got.kkt, violation, atol=2e-6)
    assert violation.max() > 1e-4  # so that there is something to see
    before = fit(f, y, alpha=0.03, beta=beta, classes=classes, rounds=2, iters=3)
    usage = 1e-3 + np.abs(before.w).mean((0, 2))
    np.testing.assert_allclose(before.usage, usage, rtol=1e-5)
    expected = np.maximum(0.03 + beta * np.asarray(price_of(usage)), 0)
    np.testing.assert_allclose(price[..., 0], expected[None].repeat(len(f), 0), 1e-4)


@pytest.mark.parametrize("classes", [None, 4])
def test_penalty_bound_is_where_heads_vanish(classes):
    f, y = sample(classes)
    f = f + np.float32(0.3)  # features of a task need not be centred
    limits = bound(f, y, classes)
    for t, limit in enumerate(limits):
        alone = partial(converged, f[t : t + 1], y[t : t + 1], classes=classes)
        above, below = alone(alpha=1.001 * limit), alone(alpha=0.99 * limit)
        assert not above.w.any()
        assert below.w.any()
        relative = alone(alpha=0.99, relative=True)
        np.testing.assert_allclose(relative.w, below.w, atol=1e-6)
    together = converged(f, y, alpha=0.4, relative=True, classes=classes)
    np.testing.assert_allclose(
        together.prices,
        0.4 * np.repeat(np.asarray(limits)[:, None], f.shape[2], 1),
        rtol=1e-6,
    )
    for t, limit in enumerate(limits):
        one = converged(f[t : t + 1], y[t : t + 1], alpha=0.4 * limit, classes=classes)
        np.testing.assert_allclose(centred(together.w[t]), centred(one.w[0]), atol=1e-5)


@pytest.mark.parametrize("classes", [None, 4])
def test_fixed_point_is_stationary_for_the_joint_objective(classes):
    f, y = sample(classes)
    # Means over tasks and outputs: `fit_heads` counts per task.
    c = classes or 1
    options = {"alpha": 0.1 / c, "beta": 0.04 / c, "classes": classes, "ridge": 0.01}
    got = fit(f, y, rounds=20, iters=100, **options)
    assert got.prices.min() > 0
    problem = f, y, 0.1, 0.04, 0.01
    value = joint(got.w, got.b, *problem)
    np.testing.assert_allclose(got.objectives[-1], value, rtol=1e-5)
    slope_w, slope_b = joint_slopes(got.w, got.b, *problem)
    used = np.asarray(got.w) != 0
    assert used.any()
    assert not used.all()
    assert len(f) * np.abs(np.asarray(slope_w)[used]).max() < 1e-4
    if classes is not None:
        assert len(f) * np.abs(slope_b).max() < 1e-4


def query_loss(f, y, other, *, alpha, ridge, beta=0.0, classes=None, **static):
    """A loss of heads on samples that are not those of the fit."""
    got = heads.fit_heads(
        f, y, alpha=alpha, beta=beta, ridge=ridge, classes=classes, **static
    )
    return heads.head_loss(got.w, got.b, *other, classes).mean(), got


def query_program():
    return jax.jit(
        jax.value_and_grad(query_loss, has_aux=True),
        static_argnames=("classes", "gradient", "rounds", "iters"),
    )


shared_program = query_program()


def query_gradient(*arguments, program=shared_program, **options):
    """Its derivative in the features of the fit; the others are constant."""
    (_, got), slope = program(*arguments, **options)
    return np.asarray(slope), got


PROBLEMS = {
    "regression": (regression(t=3, m=5), regression(t=3, m=5, seed=1), None, 1200),
    "classification": (
        classification(t=2, n=100, m=3),
        classification(t=2, n=100, m=3, seed=1),
        4,
        2400,
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_implicit_gradient_is_that_of_the_unrolled_solver(name):
    (f, y), other, classes, iters = PROBLEMS[name]
    options = {"alpha": 0.03, "ridge": 1e-3 if classes is None else 0.0}
    options |= {"classes": classes, "rounds": 1, "iters": iters}
    slopes, fits = {}, {}
    for name, gradient in heads.GRADIENTS.items():
        slopes[name], fits[name] = query_gradient(
            f, y, other, gradient=gradient, **options
        )
    assert (fits["implicit"].w == 0).any()
    assert relative_error(slopes["implicit"], slopes["unroll"]) <= 1e-4
    chex.assert_trees_all_equal(fits["implicit"], fits["stop_gradient"])
    assert not slopes["stop_gradient"].any()
    assert np.abs(slopes["unroll"]).max() > 1e-4


@pytest.mark.parametrize("name", PROBLEMS)
def test_implicit_gradient_holds_prices_constant(name):
    (f, y), other, classes, iters = PROBLEMS[name]
    options = {"alpha": 0.03, "beta": 0.03, "ridge": 0.0, "classes": classes}
    options |= {"rounds": 6, "iters": iters // 4}
    implicit, got = query_gradient(f, y, other, gradient=heads.IMPLICIT, **options)
    price = np.asarray(got.prices[0])
    assert price.max() > 1.1 * price.min() > 0
    # A price is a feature's scale: the lasso of F / price with alpha = 1.
    scaled, same = query_gradient(
        f / price,
        y,
        (other[0] / price, other[1]),
        gradient=heads.UNROLL,
        **options | {"alpha": 1.0, "beta": 0.0, "rounds": 1, "iters": iters},
    )
    w = np.asarray(same.w) / price[:, None]
    np.testing.assert_allclose(centred(w), centred(got.w), atol=1e-4)
    assert relative_error(implicit, scaled / price) <= 3e-4


def test_unrolled_gradient_moves_prices():
    (f, y), other, _, iters = PROBLEMS["regression"]
    options = {"alpha": 0.03, "beta": 0.03, "ridge": 0.0}
    options |= {"rounds": 6, "iters": iters // 4}
    implicit, _ = query_gradient(f, y, other, gradient=heads.IMPLICIT, **options)
    unrolled, _ = query_gradient(f, y, other, gradient=heads.UNROLL, **options)
    assert relative_error(implicit, unrolled) > 1e-2


@pytest.mark.parametrize("name", ["regression", "classification"])
def test_implicit_gradient_of_many_features(name):
    if name == "regression":
        (f, y), other, classes = regression(2, 40, 110), regression(2, 40, 110, 1), None
    else:
        (f, y), other = (classification(2, 80, 105, 3, seed) for seed in (0, 1))
        classes = 3
    options = {"alpha": 0.04, "ridge": 1e-2, "classes": classes, "rounds": 1}
    options |= {"iters": 300}
    implicit, got = query_gradient(f, y, other, gradient=heads.IMPLICIT, **options)
    unrolled, same = query_gradient(f, y, other, gradient=heads.UNROLL, **options)
    assert got.w.shape[1] > problem.WIDE
    np.testing.assert_allclose(got.w, same.w, atol=1e-4)
    assert (got.w == 0).mean() > 0.5
    assert relative_error(implicit, unrolled) <= 1e-3


@pytest.mark.parametrize(("classes", "beta"), [(None, 0.0), (None, 0.02), (3, 0.01)])
def test_constant_heads_give_the_gradient_of_the_optimum(classes, beta):
    # Danskin: where the support is the query, d min J / dF is the derivative of the
    # fit term alone.
    if classes is None:
        f, y = regression(t=2, n=20, m=4)
    else:
        f, y = classification(t=2, n=30, m=3, c=classes)
    direction = np.random.default_rng(5).normal(size=(3, *f.shape))
    with jax.enable_x64(True):
        f, direction = jnp.asarray(f, float), jnp.asarray(direction)
        options = {"alpha": 0.03, "beta": beta, "classes": classes}
        options |= {"rounds": 1 if beta == 0 else 25, "iters": 100 if beta else 1000}

        def solve(f):
            got = heads.fit_heads(f, jnp.asarray(y), **options)
            loss = heads.head_loss(got.w, got.b, f, jnp.asarray(y), classes).mean()
            return loss, (got.objectives[-1], got.kkt.max())

        solve = jax.jit(jax.value_and_grad(solve, has_aux=True))
        slope = solve(f)[1]
        assert solve(f)[0][1][1] < 1e-7
        for d in direction:
            up, down = (solve(f + sign * 1e-5 * d)[0][1][0] for sign in (1, -1))
            np.testing.assert_allclose((slope * d).sum(), (up - down) / 2e-5, rtol=1e-4)


def test_standardise_by_hand():
    h = np.float32(np.random.default_rng(0).normal(2, 3, (4, 10, 5)))
    f, moments = standardise(h)
    rows = np.float64(h).reshape(-1, 5)
    np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(moments.std, rows.std(0), rtol=1e-5)
    np.testing.assert_allclose(f, (h - rows.mean(0)) / (rows.std(0) + 1e-5), atol=1e-5)
    one = heads.apply_standard(moments, jnp.asarray(h[0, 0]))
    np.testing.assert_allclose(one, f[0, 0], rtol=1e-6)
    # Gradients pass through both: what moves or scales a feature changes nothing.
    c = np.random.default_rng(1).normal(size=h.shape).astype(np.float32)
    slope = jax.jit(jax.grad(lambda h: (c * heads.standardise(h)[0]).mean()))(h)
    assert np.abs(slope).max() > 1e-4
    np.testing.assert_allclose(slope.sum((0, 1)), 0, atol=1e-6)
    np.testing.assert_allclose((slope * h).sum((0, 1)), 0, atol=2e-6)


cubes_slope = jax.jit(jax.grad(lambda h: (heads.standardise(h)[0] ** 3).sum()))


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1000.3])
def test_a_constant_feature_is_reported_and_dropped(value):
    h = np.float32(np.random.default_rng(0).normal(size=(3, 50, 4)))
    h[..., 2] = value
    with pytest.warns(UserWarning, match=r"features \[2\] are constant"):
        f, _ = heads.standardise(jnp.asarray(h))
    f = np.asarray(f)
    np.testing.assert_array_equal(f[..., 2], 0)
    assert (np.abs(f[..., [0, 1, 3]]).max((0, 1)) > 1).all()
    assert np.isfinite(cubes_slope(h)).all()


def test_scale_and_order_of_features_do_not_matter():
    h, y = regression(m=6)
    scale = np.float32([0.2, 5, -1, 20, 0.5, 3])
    order = np.random.default_rng(0).permutation(6)
    options = {"alpha": 0.05, "beta": 0.05, "rounds": 4, "iters": 60}
    f, _ = standardise(h)
    got = fit(f, y, **options)
    moved, _ = standardise(h * scale + np.float32(0.5))
    again = fit(moved, y, **options)
    sign = np.sign(scale)[:, None]
    np.testing.assert_allclose(again.w, got.w * sign[None], atol=1e-4)
    np.testing.assert_allclose(
        head_loss(again.w, again.b, moved, y),
        head_loss(got.w, got.b, f, y),
        rtol=1e-4,
    )
    permuted = fit(f[:, :, order], y, **options)
    np.testing.assert_allclose(permuted.w, got.w[:, order], atol=1e-5)
    np.testing.assert_allclose(permuted.usage, got.usage[order], atol=1e-5)
    np.testing.assert_allclose(permuted.prices, got.prices[:, order], atol=1e-4)


def test_a_grid_of_penalties_is_one_program():
    f, y = regression()

    @jax.jit
    @chex.assert_max_traces(1)
    def grid(alpha, beta):
        return jax.vmap(lambda a, b: heads.fit_heads(f, y, alpha=a, beta=b))(
            alpha, beta
        )

    alpha, beta = jnp.float32([0.0, 0.05, 0.1, 0.5]), jnp.float32([0.1, 0.0, 0.05, 0.0])
    got = grid(alpha, beta)
    grid(alpha + 0.1, beta + 0.1)
    for i in range(4):
        alone = fit(f, y, alpha=alpha[i], beta=beta[i])
        for name, actual in got._asdict().items():
            np.testing.assert_allclose(
                actual[i], getattr(alone, name), atol=1e-4, err_msg=name
            )
    assert np.isfinite(got.w).all()


@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("penalty", [0.01, 1.0])
def test_ridge_of_scikit_learn(classes, penalty):
    f, y = sample(classes)
    f = f + np.float32(0.5)
    w, b = ridge_fit(f, y, penalty, classes)
    for t in range(len(f)):
        target = y[t, :, None] if classes is None else np.eye(classes)[y[t]]
        theirs = Ridge(alpha=f.shape[1] * penalty).fit(np.float64(f[t]), target)
        np.testing.assert_allclose(w[t], theirs.coef_.reshape(-1, f.shape[2]).T, 1e-3)
        np.testing.assert_allclose(b[t], theirs.intercept_, atol=1e-4)


def test_scores_and_losses_of_heads():
    f, y = regression()
    got = fit(f, y, alpha=0.05)
    outputs = np.asarray(predict(got.w, got.b, f))
    expected = [r2_score(y[t], outputs[t, :, 0]) for t in range(len(f))]
    np.testing.assert_allclose(scores(got.w, got.b, f, y), expected, rtol=1e-4)
    half = 0.5 * ((outputs[..., 0] - y) ** 2).mean(1)
    np.testing.assert_allclose(head_loss(got.w, got.b, f, y), half, rtol=1e-4)
    f, y = classification()
    got = fit(f, y, alpha=0.02, classes=4)
    outputs = np.float64(predict(got.w, got.b, f))
    expected = [accuracy_score(y[t], outputs[t].argmax(-1)) for t in range(len(f))]
    actual = scores(got.w, got.b, f, y, 4)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    chosen = np.take_along_axis(special.log_softmax(outputs, -1), y[..., None], 2)
    actual = head_loss(got.w, got.b, f, y, 4)
    np.testing.assert_allclose(actual, -chosen.mean((1, 2)), rtol=1e-5)


def test_masked_classes_stay_out():
    # Tasks with classes 0 and 2 of four: the same heads as with two classes.
    f, labels = classification(c=2)
    y, mask = 2 * labels, np.tile([True, False, True, False], (3, 1))
    mask[0] = True
    options = {"alpha": 0.02, "classes": 4, "rounds": 1, "iters": 200}
    got = fit(f, y, class_mask=mask, **options)
    gone = ~np.broadcast_to(mask[:, None], got.w.shape)
    np.testing.assert_array_equal(np.asarray(got.w)[gone], 0)
    assert np.asarray(got.w)[1:][:, :, [0, 2]].any()
    two = fit(f, labels, **(options | {"classes": 2}))
    np.testing.assert_allclose(got.w[1:, :, [0, 2]], two.w[1:], atol=1e-5)
    np.testing.assert_allclose(
        head_loss(got.w, got.b, f, y, 4, mask)[1:],
        head_loss(two.w, two.b, f, labels, 2)[1:],
        rtol=1e-4,
    )
    # Logits of the classes that exist below 0, the logit of those that do not.
    low = got.b - 50.0
    np.testing.assert_allclose(
        scores(got.w, low * mask, f, y, 4, mask),
        scores(got.w, got.b, f, y, 4, mask),
    )
    assert scores(got.w, low * mask, f, y, 4)[1:].max() == 0
    w, b = ridge_fit(f, y, 0.1, 4, mask)
    best = predict(w, b, f).argmax(-1)
    assert set(np.unique(best[1:])) == {0, 2}
    # The implicit derivative knows no such classes either.
    options |= {"class_mask": mask, "gradient": heads.IMPLICIT}

    def loss(f):
        got = heads.fit_heads(f, y, **options)
        return heads.head_loss(got.w, got.b, f, y, 4, mask).sum()

    assert np.isfinite(jax.jit(jax.grad(loss))(f)).all()


@pytest.mark.parametrize("classes", [None, 3])
def test_warm_start(classes):
    f, y = sample(classes)
    options = {"alpha": 0.03, "classes": classes, "rounds": 1}
    done = fit(f, y, iters=500, **options)
    cold = fit(f, y, iters=1, **options)
    warm = fit(f, y, iters=1, init=done, **options)
    assert warm.kkt.max() < 1e-5
    assert cold.kkt.max() > 1e-2
    np.testing.assert_allclose(warm.w, done.w, atol=1e-5)
    np.testing.assert_allclose(warm.b, done.b, atol=1e-5)


def test_past_usage():
    f, y = regression()
    past, decay = jnp.float32([0.9, 0.1, 0.3, 0.01, 0.5, 0.2]), 0.7
    options = {"alpha": 0.05, "beta": 0.05, "rounds": 2, "past_usage": past}
    got = fit(f, y, decay=decay, **options)
    now = 1e-3 + np.abs(got.w).mean((0, 2))
    expected = decay * past + (1 - decay) * now
    np.testing.assert_allclose(got.usage, expected, rtol=1e-5)
    # With all of the past and nothing of now, prices are the past's.
    frozen = fit(f, y, decay=1.0, **options)
    price = np.maximum(0.05 + 0.05 * np.asarray(price_of(past)), 0)
    np.testing.assert_allclose(frozen.prices[0], price, rtol=1e-5, atol=1e-7)
    without = fit(f, y, decay=0.0, **options)
    same = fit(f, y, **(options | {"past_usage": None}))
    np.testing.assert_allclose(without.w, same.w, atol=1e-6)


def test_negative_prices_are_clipped_and_counted():
    f, y = regression(m=3)
    past = jnp.float32([5.0, 0.01, 0.01])
    got = fit(f, y, alpha=0.0, beta=0.05, past_usage=past, decay=1.0, rounds=3)
    wanted = 0.05 * np.asarray(price_of(past))
    assert wanted[0] < 0 < wanted[1]
    np.testing.assert_allclose(got.prices[0], [0, *wanted[1:]], rtol=1e-5)
    assert got.clipped == 3  # one feature, three rounds
    assert fit(f, y, alpha=0.05, beta=0.0).clipped == 0


@pytest.mark.parametrize("classes", [None, 4])
def test_adam_descends_without_zeros(classes):
    f, y = sample(classes)
    t, _, m = f.shape
    key, c = jax.random.key(3), classes or 1
    options = {"alpha": 0.1 / c, "beta": 0.02 / c, "classes": classes}
    got = fit(f, y, solver=heads.adam, key=key, **options)
    assert (got.w != 0).all()
    assert got.objectives.shape == (1,)
    ridge = 1e-3 if classes is None else 0.0
    problem = f, y, 0.1, 0.02, ridge
    rows = m if classes is None else m + 1
    start = 1e-2 * jax.random.normal(key, (t, rows, c))
    bias = jnp.zeros((t, c)) if classes is None else start[:, m]
    before = joint(start[:, :m], bias, *problem)
    after = joint(got.w, got.b, *problem)
    np.testing.assert_allclose(got.objectives[0], after, rtol=1e-5)
    assert got.objectives[0] < 0.8 * before
    sparse = fit(f, y, rounds=12, iters=60, **options)
    assert (sparse.w == 0).any()
    assert got.objectives[0] == pytest.approx(float(sparse.objectives[-1]), rel=0.05)
    other = fit(f, y, solver=heads.adam, key=jax.random.key(4), **options)
    assert (other.w != got.w).any()
    with pytest.raises(ValueError, match="key"):
        heads.fit_heads(f, y, solver=heads.adam, **options)


F, Y = regression(t=3, n=10, m=2)
LABELS = np.arange(30).reshape(3, 10) % 3
NAN = np.where(np.arange(3)[:, None] == 1, np.nan, Y).astype(np.float32)
SINGLE = np.where(np.arange(3)[:, None] == 2, 1, LABELS)
BAD = {
    "NaN targets": ((F, NAN), {}, r"targets of tasks \[1\] hold NaN"),
    "infinite features": ((F * np.inf, Y), {}, "features of tasks"),
    "one class": ((F, SINGLE), {"classes": 3}, r"tasks \[2\] hold one class only"),
    "label too large": ((F, LABELS), {"classes": 2}, r"0 \.\. 1, got 0 \.\. 2"),
    "label below 0": ((F, LABELS - 1), {"classes": 3}, r"got -1 \.\. 1"),
    "negative alpha": ((F, Y), {"alpha": -0.1}, "alpha must be finite and not neg"),
    "negative beta": ((F, Y), {"beta": -0.1}, "beta must be finite and not negative"),
    "infinite ridge": ((F, Y), {"ridge": np.inf}, "ridge must be finite"),
    "labels as numbers": ((F, LABELS), {}, "give the number of classes"),
    "numbers as labels": ((F, Y), {"classes": 3}, "takes integer targets"),
    "a single class": ((F, LABELS), {"classes": 1}, "at least 2 classes"),
    "two axes": ((F[0], Y[0]), {}, r"\[tasks, samples, features\]"),
    "too few targets": ((F, Y[:, :9]), {}, r"\[tasks, samples\] = \(3, 10\)"),
    "mask": (
        (F, LABELS),
        {"classes": 3, "class_mask": np.ones((3, 2), bool)},
        r"class_mask must be \[tasks, classes\] = \(3, 3\)",
    ),
    "huge features": ((F * 1e30, Y), {}, r"features of tasks \[0, 1, 2\] reach"),
    "wide features": ((np.float64(F) * 1e300, Y), {}, "at most 1e\\+15: standardise"),
    "huge targets": (
        (F, np.where(Y[1, 2] == Y, 1e30, Y)),
        {},
        r"\[1\] reach 1e\+30",
    ),
    "no features": (
        (F[..., :0], Y),
        {},
        r"\(3, 10, 0\); at least one task",
    ),
    "no samples": ((F[:, :0], Y[:, :0]), {}, "at least one task, one sample and one"),
    "no tasks": ((F[:0], Y[:0]), {}, "at least one task, one sample and one feature"),
    "strings": ((F.astype(str), Y), {}, "features holds values of type <U"),
    "complex targets": ((F, 1j * Y), {}, "targets holds values of type complex"),
    "no rounds": ((F, Y), {"rounds": 0}, "at least 1"),
    "no steps": ((F, Y), {"iters": 0}, "at least 1"),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    arguments, options, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        heads.fit_heads(*arguments, **({"alpha": 0.1} | options))


def test_bad_input_of_ridge_is_named():
    with pytest.raises(ValueError, match="NaN"):
        heads.ridge_heads(F, NAN, 0.1)
    with pytest.raises(ValueError, match="penalty must be finite and not negative"):
        heads.ridge_heads(F, Y, -0.1)
    with pytest.raises(ValueError, match="reach"):
        heads.ridge_heads(F * np.float32(1e30), Y, 0.1)
    with pytest.raises(ValueError, match="at least one task"):
        heads.ridge_heads(F[..., :0], Y, 0.1)


@pytest.mark.usefixtures("unchecked")
def test_whole_numbers_as_features():
    whole = np.int64(10 * F)
    expected = heads.fit_heads(np.float32(whole), Y, alpha=0.1)
    np.testing.assert_array_equal(heads.fit_heads(whole, Y, alpha=0.1).w, expected.w)


def test_what_cannot_be_standardised_is_named():
    with pytest.raises(ValueError, match=r"features \[1\] are too large"):
        heads.standardise(jnp.asarray(F * np.float32([1, 1e30])))
    with pytest.raises(ValueError, match="at least one task"):
        heads.standardise(jnp.asarray(F[:, :0]))


def draw_efficiency(seeds=4, m=100, active=5):
    """Latents, their rotation and targets: 50 samples to fit, 500, 2000."""
    sets, rotations = [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        w = np.zeros(m)
        w[:active] = rng.normal(size=active)
        w /= np.linalg.norm(w)
        z = rng.normal(size=(2550, m))
        noise = rng.normal(size=2550) / np.sqrt(20)
        sets.append((z, z @ w + noise))
        rotations.append(stats.ortho_group.rvs(m, random_state=seed))
    z, y = (np.stack(a) for a in zip(*sets, strict=True))
    rows = (slice(50), slice(50, 550), slice(550, None))
    parts = [[np.float32(a[:, r]) for r in rows] for a in (z, z @ np.stack(rotations))]
    return *parts, [np.float32(y[:, r]) for r in rows]


def lasso(f, y, alpha):
    got = heads.fit_heads(
        f, y, alpha=alpha, relative=True, ridge=0.0, rounds=1, iters=200
    )
    return got.w, got.b


@partial(jax.jit, static_argnames="solve")
def chosen_scores(solve, penalties, features, targets):
    """Test R^2 with the penalty that is best on the second set, seed by seed."""

    def judged(penalty):
        w, b = solve(features[0], targets[0], penalty)
        pairs = zip(features[1:], targets[1:], strict=True)
        return [heads.scores(w, b, f, y) for f, y in pairs]

    valid, test = jax.vmap(judged)(penalties)
    return jnp.take_along_axis(test, valid.argmax(0)[None], 0)[0]


def test_sparse_heads_need_fewer_samples_on_the_true_latents():
    latents, rotated, targets = draw_efficiency()

    def score(solve, low, high, features):
        penalties = np.logspace(low, high, 20, dtype=np.float32)
        return np.asarray(chosen_scores(solve, penalties, features, targets))

    sparse, entangled = (score(lasso, -3, 0, f) for f in (latents, rotated))
    ridge, turned = (score(heads.ridge_heads, -4, 2, f) for f in (latents, rotated))
    assert sparse.mean() - ridge.mean() >= 0.3
    assert sparse.min() > 0.85
    assert entangled.mean() < ridge.mean()
    np.testing.assert_allclose(turned, ridge, rtol=1e-4)


# Tasks of both kinds.

NUMBERS = np.array([True, False, True, False, False])


def mixed(seed=0, m=5):
    """Two tasks of numbers, two of three classes, one of two; and what they have."""
    f, y = classification(t=5, n=120, m=m, c=3, seed=seed)
    y[4] = y[4] > 0
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(5, m)) * (rng.random((5, m)) < 2.5 / m)
    number = 2.0 + np.einsum("tnm,tm->tn", f, w) + 0.1 * rng.normal(size=y.shape)
    allowed = np.ones((5, 3), bool)
    allowed[4, 2] = False
    allowed[NUMBERS] = False
    targets = np.where(NUMBERS[:, None], number, y).astype(np.float32)
    return f, targets, allowed


def of_both(f, targets, allowed, **changes):
    return converged(
        f, targets, classes=3, class_mask=allowed, numbers=NUMBERS, **changes
    )


def test_numbers_beside_classes_are_those_of_scikit_learn():
    f, targets, allowed = mixed()
    found = of_both(f, targets, allowed, alpha=0.1, ridge=0.0)
    for task in np.flatnonzero(NUMBERS):
        lasso = Lasso(alpha=0.1, tol=1e-8)
        lasso.fit(f[task].astype(float), targets[task].astype(float))
        np.testing.assert_allclose(found.w[task, :, 0], lasso.coef_, atol=2e-4)
        np.testing.assert_allclose(found.b[task, 0], lasso.intercept_, atol=2e-4)
        assert not found.w[task, :, 1:].any()
    assert found.kkt.max() < 1e-4


def test_classes_beside_numbers_are_what_they_are_alone():
    f, targets, allowed = mixed()
    together = of_both(f, targets, allowed, alpha=0.02, relative=True)
    rest = ~NUMBERS
    alone = converged(
        f[rest], targets[rest].astype(np.int32), classes=3, class_mask=allowed[rest],
        alpha=0.02, relative=True,
    )  # fmt: skip
    np.testing.assert_allclose(together.w[rest], alone.w, atol=1e-5)
    np.testing.assert_allclose(together.b[rest], alone.b, atol=1e-5)
    assert not together.w[4, :, 2].any()


def test_scores_and_answers_of_both_kinds():
    f, targets, allowed = mixed()
    found = of_both(f, targets, allowed, alpha=0.02)
    given = {"classes": 3, "class_mask": allowed, "numbers": NUMBERS}
    outputs = np.asarray(predict(found.w, found.b, f))
    scored = scores(found.w, found.b, f, targets, **given)
    loss = head_loss(found.w, found.b, f, targets, **given)
    answers = np.asarray(heads.answers(jnp.asarray(outputs), allowed, NUMBERS))
    w, b = ridge_fit(f, targets, 0.1, **given)
    ridge = scores(w, b, f, targets, **given)
    for task, number in enumerate(NUMBERS):
        y, out = targets[task], outputs[task]
        if number:
            np.testing.assert_allclose(scored[task], r2_score(y, out[:, 0]), atol=1e-5)
            error = 0.5 * ((y - out[:, 0]) ** 2).mean()
            np.testing.assert_allclose(loss[task], error, rtol=1e-4)
            np.testing.assert_array_equal(answers[task][:, 0], out[:, 0])
            assert not answers[task][:, 1:].any()
            other = Ridge(alpha=0.1 * len(y)).fit(f[task], y)
            want = other.score(f[task], y)
        else:
            c, y = allowed[task].sum(), y.astype(int)
            p = special.softmax(out[:, :c], 1)
            np.testing.assert_allclose(answers[task][:, :c], p, atol=1e-5)
            np.testing.assert_allclose(scored[task], (p.argmax(1) == y).mean())
            nats = -np.log(p[np.arange(len(y)), y]).mean()
            np.testing.assert_allclose(loss[task], nats, rtol=1e-4)
            want = RidgeClassifier(alpha=0.1 * len(y)).fit(f[task], y).score(f[task], y)
        np.testing.assert_allclose(ridge[task], want, atol=0.01)


def test_implicit_gradient_of_both_kinds_is_that_of_the_unrolled_solver():
    f, targets, allowed = mixed()

    def loss(gradient, f):
        found = heads.fit_heads(
            f, targets, alpha=0.05, ridge=0.1, classes=3, class_mask=allowed,
            numbers=NUMBERS, rounds=1, iters=300, gradient=gradient,
        )  # fmt: skip
        return jnp.sum(jnp.sin(found.w)) + jnp.sum(jnp.cos(found.b))

    found, want = (
        jax.jit(jax.grad(partial(loss, heads.GRADIENTS[name])))(f)
        for name in ("implicit", "unroll")
    )
    assert np.abs(want).max() > 1e-3
    np.testing.assert_allclose(found, want, atol=2e-3 * np.abs(want).max())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"targets": np.zeros((5, 120), int)},
            "tasks of both kinds take float targets",
        ),
        ({"numbers": NUMBERS[:3]}, "must say of each of the 5 tasks"),
        ({"numbers": np.ones(5, bool)}, None),
        ({"numbers": np.zeros(5, bool)}, "targets must lie in 0 .. 2"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_of_both_kinds_is_named(changes, message):
    f, targets, allowed = mixed()
    given = {"targets": targets, "numbers": NUMBERS} | changes
    call = partial(
        heads.fit_heads, f, alpha=0.1, classes=3, class_mask=allowed, rounds=1, iters=1
    )
    if message is None:
        assert np.isfinite(call(**given).w).all()
        return
    with pytest.raises(ValueError, match=message):
        call(**given)


# More features than are worked on at once.


@pytest.mark.parametrize(("alpha", "block"), [(0.05, 64), (0.02, 8)])
def test_many_features_are_the_lasso_of_scikit_learn(alpha, block, monkeypatch):
    f, y = regression(t=3, n=50, m=120, seed=2)
    monkeypatch.setattr(blocks, "BLOCK", block)
    monkeypatch.setattr(blocks, "VISITS", 200)
    solve = jax.jit(partial(heads.fit_heads, rounds=1, iters=100))
    ours = solve(f, y, alpha=alpha, ridge=0.0)
    assert ours.kkt.max() < 1e-5
    for t in range(len(f)):
        theirs = Lasso(alpha, fit_intercept=False, tol=1e-10, max_iter=10_000)
        theirs.fit(np.float64(f[t]), np.float64(y[t]))
        np.testing.assert_allclose(ours.w[t, :, 0], theirs.coef_, atol=1e-4)
        wrong = f[t] @ np.float64(ours.w[t, :, 0]) - y[t]
        slope, w = f[t].T @ wrong / len(wrong), np.asarray(ours.w[t, :, 0])
        optimal = np.where(w != 0, np.abs(slope + alpha * np.sign(w)), np.abs(slope))
        assert (optimal <= np.where(w != 0, 1e-5, alpha + 1e-5)).all()
    used = (np.asarray(ours.w) != 0).sum((1, 2))
    assert 0 < used.min() <= used.max() < 60
    if block == 8:
        assert used.min() > block  # so that a block cannot hold them


def test_many_features_of_both_kinds():
    f, targets, allowed = mixed(m=104)
    found = of_both(f, targets, allowed, alpha=0.04, ridge=0.0)
    for task in range(5):
        w, b = np.float64(found.w[task]), np.float64(found.b[task])
        outputs = f[task] @ w + b
        if NUMBERS[task]:
            wrong = np.where(np.arange(3) == 0, outputs - targets[task, :, None], 0)
        else:
            outputs = np.where(allowed[task], outputs, -np.inf)
            wrong = special.softmax(outputs, -1) - np.eye(3)[targets[task].astype(int)]
        slope = f[task].T @ wrong / len(wrong)
        assert np.abs(wrong.mean(0)).max() < 2e-5
        assert np.abs(slope + 0.04 * np.sign(w))[w != 0].max() < 2e-5
        assert np.abs(slope)[w == 0].max() < 0.04 + 2e-5
        assert 0 < (w != 0).sum() < 104
    assert found.kkt.max() < 2e-5


def test_many_features_share_as_few_do(monkeypatch):
    f, y = regression(t=4, n=40, m=104, seed=3)
    options = {"beta": 0.02, "rounds": 3, "iters": 300}
    alpha = np.float32([0.3, 0.05])
    grid = jax.vmap(lambda a: heads.fit_heads(f, y, alpha=a, **options))
    blockwise = jax.jit(grid)(alpha)
    alone = fit(f, y, alpha=alpha[1], **options)
    np.testing.assert_allclose(alone.w, blockwise.w[1], atol=1e-6)
    monkeypatch.setattr(problem, "WIDE", 1000)
    at_once = jax.jit(lambda a: grid(a))(alpha)
    for name in ("w", "usage", "prices", "objectives"):
        left, right = (np.asarray(getattr(x, name)) for x in (blockwise, at_once))
        np.testing.assert_allclose(left, right, atol=2e-4, err_msg=name)


def test_fits_of_many_features_go_to_other_platforms():
    f, y = regression(t=2, n=10, m=104)

    def loss(f):
        got = heads.fit_heads(f, y, alpha=0.1, gradient=heads.IMPLICIT)
        return heads.head_loss(got.w, got.b, f, y).sum()

    exported = jax.export.export(jax.jit(jax.grad(loss)), platforms=("tpu", "cuda"))(f)
    assert "lapack" not in exported.mlir_module().lower()

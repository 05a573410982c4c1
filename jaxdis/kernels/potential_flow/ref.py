"""The definition of the potentials and their derivatives, in plain XLA.

One potential with hidden width h (products act on rows, o elementwise):

    tau(t) = GELU(e(t) Wt + bt) Vt + ct,  beta(t) = tau(t) W2 + b2
    a1 = tanh(z W1 + b1),  a2 = tanh(a1 W2 + beta),  o = a2 . w3 + b3

with e(t) the sinusoidal embedding of t, and u = o (head "linear") or tanh(o)
("tanh"). With d = 1 - a^2 and e = -2 a d the derivatives of a tanh layer, c = w3 o d2
and s = c W2', the derivatives of o are

    grad o = (d1 o s) W1'                     d o / d t = c . beta'(t)
    H v    = (e1 o p o s + d1 o ((w3 o e2 o q) W2')) W1',  p = v W1, q = (d1 o p) W2
    H      = A' diag(w3 o e2) A + W1 diag(e1 o s) W1',     A = W2' diag(d1) W1'
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float

__all__ = [
    "PRECISION",
    "Arguments",
    "Clock",
    "Derivatives",
    "Head",
    "Layers",
    "Network",
    "Potentials",
    "Products",
    "block",
    "clock",
    "derivatives",
    "hessian",
    "networks",
    "slope",
    "value",
]

Head: TypeAlias = Literal["linear", "tanh"]

LONGEST_PERIOD = 1e4
# Second derivatives are sums that cancel: anything below float32 shows.
PRECISION = jax.lax.Precision.HIGHEST


class Potentials(NamedTuple):
    """Parameters of k stacked networks of z `[n]` and t, with hidden width h.

    Attributes:
      w1: the first layer's weights.
      b1: the first layer's biases.
      wt: the weights of the time embedding's first layer.
      bt: the biases of the time embedding's first layer.
      vt: the weights of the time embedding's second layer.
      ct: the biases of the time embedding's second layer.
      w2: the second layer's weights.
      b2: the second layer's biases.
      w3: the output's weights.
      b3: the output's biases.
    """

    w1: Float[Array, "k n h"]
    b1: Float[Array, "k h"]
    wt: Float[Array, "k n h"]
    bt: Float[Array, "k h"]
    vt: Float[Array, "k h h"]
    ct: Float[Array, "k h"]
    w2: Float[Array, "k h h"]
    b2: Float[Array, "k h"]
    w3: Float[Array, "k h"]
    b3: Float[Array, "k"]


class Clock(NamedTuple):
    """What the networks make of time.

    Attributes:
      beta: beta(t), at one time or at several.
      rate: its derivative beta'(t).
    """

    beta: Float[Array, "*t k h"]
    rate: Float[Array, "*t k h"]


class Derivatives(NamedTuple):
    """Potentials at a batch of points, and their derivatives.

    Attributes:
      value: the potentials u.
      time: the partial derivative of u in t.
      gradient: the gradient of u in z.
      product: the Hessian of u in z times v; None if no v was given.
    """

    value: Float[Array, "k b"]
    time: Float[Array, "k b"]
    gradient: Float[Array, "k b n"]
    product: Float[Array, "k b n"] | None


class Arguments(NamedTuple):
    """The arrays of `derivatives`.

    Attributes:
      params: the k networks.
      at: `clock` of one time.
      z: the points.
      v: a direction for every point; None for no Hessian-vector product.
    """

    params: Potentials
    at: Clock
    z: Float[Array, "b n"]
    v: Float[Array, "b n"] | None


class Network(NamedTuple):
    """What one potential is made of at one time, vectors as rows.

    Attributes:
      w1: the first layer's weights.
      b1: the first layer's biases.
      w2: the second layer's weights.
      beta: the second layer's biases, which time moves.
      w3: the output's weights.
      b3: the output's bias.
    """

    w1: Float[Array, "n h"]
    b1: Float[Array, "1 h"]
    w2: Float[Array, "h h"]
    beta: Float[Array, "1 h"]
    w3: Float[Array, "1 h"]
    b3: Float[Array, "1 1"]


class Layers(NamedTuple):
    """What both layers compute, in the letters of the module's docstring.

    Attributes:
      a1: the first layer's activations.
      d1: the first derivatives there.
      a2: the second layer's activations.
      d2: the first derivatives there.
      c: `w3 o d2`.
      s: `c W2'`.
      o: the output before the head.
    """

    a1: Float[Array, "b h"]
    d1: Float[Array, "b h"]
    a2: Float[Array, "b h"]
    d2: Float[Array, "b h"]
    c: Float[Array, "b h"]
    s: Float[Array, "b h"]
    o: Float[Array, "b 1"]

    @property
    def e1(self) -> Float[Array, "b h"]:
        """The second derivatives of the first layer."""
        return -2.0 * self.a1 * self.d1

    @property
    def e2(self) -> Float[Array, "b h"]:
        """Those of the second layer."""
        return -2.0 * self.a2 * self.d2


def _dot(x: Array, w: Array) -> Array:
    """`[b, i]` times `[i, j]`."""
    return jnp.einsum("bi,ij->bj", x, w, precision=PRECISION)


def _dot_transposed(x: Array, w: Array) -> Array:
    return jnp.einsum("bj,ij->bi", x, w, precision=PRECISION)


class Products(NamedTuple):
    """Matrix products in float32, as a form takes them.

    Attributes:
      plain: `x w`, with rows x.
      transposed: `x w'`.
    """

    plain: Callable[[Float[Array, "b i"], Float[Array, "i j"]], Float[Array, "b j"]]
    transposed: Callable[
        [Float[Array, "b j"], Float[Array, "i j"]], Float[Array, "b i"]
    ]


XLA = Products(_dot, _dot_transposed)


def slope(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """1 - tanh(x)^2 without the cancellation of large |x|."""
    e = jnp.exp(-2.0 * jnp.abs(x))
    return 4.0 * e / (1.0 + e) ** 2


def clock(params: Potentials, times: Float[Array, "t"]) -> Clock:
    """beta(t) and beta'(t) of all networks at all times.

    `e(t) = [sin(w t), cos(w t)]`, `w_j = 1e4^(-j / (n/2 - 1))`, j = 0 .. n/2 - 1;
    `tau' = ((Phi(q) + q phi(q)) o (e' Wt)) Vt` with q = e Wt + bt and Phi, phi the
    standard normal distribution function and density.

    Args:
      params: the k networks.
      times: when to evaluate, in steps.

    Returns:
      Arrays `[t, k, h]`.
    """
    half = params.w1.shape[1] // 2
    rates = LONGEST_PERIOD ** (-jnp.arange(half) / (half - 1))
    angles = times[:, None] * rates[None]
    sine, cosine = jnp.sin(angles), jnp.cos(angles)
    embedded = jnp.concatenate([sine, cosine], -1)
    moving = jnp.concatenate([rates[None] * cosine, -rates[None] * sine], -1)

    def layer(x: Array, w: Array) -> Array:
        return jnp.einsum("tni,nij->tnj", x, w, precision=PRECISION)

    stacked = (len(times), params.w1.shape[0], 2 * half)
    q = layer(jnp.broadcast_to(embedded[:, None], stacked), params.wt) + params.bt[None]
    dq = layer(jnp.broadcast_to(moving[:, None], stacked), params.wt)
    gelu_slope = norm.cdf(q) + q * norm.pdf(q)
    tau = layer(q * norm.cdf(q), params.vt) + params.ct[None]
    beta = layer(tau, params.w2) + params.b2[None]
    return Clock(beta, layer(layer(gelu_slope * dq, params.vt), params.w2))


def networks(params: Potentials, beta: Float[Array, "k h"]) -> Network:
    """All potentials at one time, on a leading axis."""
    return Network(
        w1=params.w1,
        b1=params.b1[:, None],
        w2=params.w2,
        beta=beta[:, None],
        w3=params.w3[:, None],
        b3=params.b3[:, None, None],
    )


def _layers(w: Network, z: Float[Array, "b n"], products: Products = XLA) -> Layers:
    first = products.plain(z, w.w1) + w.b1
    a1, d1 = jnp.tanh(first), slope(first)
    second = products.plain(a1, w.w2) + w.beta
    a2, d2 = jnp.tanh(second), slope(second)
    c = w.w3 * d2
    # As sums: compiled kernels cannot add b3 to a product of one column.
    o = jnp.sum(a2 * w.w3, -1, keepdims=True) + w.b3
    return Layers(a1, d1, a2, d2, c, products.transposed(c, w.w2), o)


def value(
    params: Potentials, beta: Float[Array, "k h"], z: Float[Array, "b n"], head: Head
) -> Float[Array, "k b"]:
    """u^k(z, t) alone.

    Args:
      params: the k networks.
      beta: beta of `clock` at one time.
      z: the points.
      head: what the networks end with.
    """
    o = jax.vmap(lambda w: _layers(w, z).o[:, 0])(networks(params, beta))
    return o if head == "linear" else jnp.tanh(o)


def block(
    w: Network,
    rate: Float[Array, "1 h"],
    z: Float[Array, "b n"],
    v: Float[Array, "b n"] | None,
    head: Head,
    products: Products = XLA,
) -> tuple[Array, Array, Array, Array | None]:
    """`Derivatives` of one potential, value and time derivative as columns `[b, 1]`.

    With the head "tanh", y = tanh(o), k1 = 1 - y^2 and k2 = -2 y k1: the time
    derivative and gradient gain the factor k1, and
    `H v = k1 H_o v + k2 (grad o . v) grad o`.

    Args:
      w: the network at one time.
      rate: beta'(t) of the network.
      z: the points.
      v: a direction for every point; None for no product.
      head: what the network ends with.
      products: how matrices are multiplied.
    """
    layers = _layers(w, z, products)
    time = jnp.sum(layers.c * rate, -1, keepdims=True)
    gradient = products.transposed(layers.d1 * layers.s, w.w1)
    product = None if v is None else _product(w, layers, v, products)
    if head == "linear":
        return layers.o, time, gradient, product
    y, k1 = jnp.tanh(layers.o), slope(layers.o)
    if product is not None and v is not None:
        k2 = -2.0 * y * k1
        along = jnp.sum(gradient * v, -1, keepdims=True)
        product = k1 * product + k2 * along * gradient
    return y, k1 * time, k1 * gradient, product


def _product(
    w: Network, layers: Layers, v: Float[Array, "b n"], products: Products
) -> Float[Array, "b n"]:
    """`H v` of o."""
    p = products.plain(v, w.w1)
    q = products.plain(layers.d1 * p, w.w2)
    bent = products.transposed(w.w3 * layers.e2 * q, w.w2)
    product = layers.e1 * p * layers.s + layers.d1 * bent
    return products.transposed(product, w.w1)


def derivatives(
    arguments: Arguments, head: Head, products: Products = XLA
) -> Derivatives:
    """Value, time derivative, gradient and Hessian-vector product of all potentials.

    A `block` of all rows for every potential, and `[k, b]` in place of columns.

    Args:
      arguments: the arrays.
      head: what the networks end with.
      products: how matrices are multiplied.
    """
    params, at, z, v = arguments

    def one(w: Network, rate: Float[Array, "1 h"]) -> Derivatives:
        value, time, gradient, product = block(w, rate, z, v, head, products)
        return Derivatives(value[:, 0], time[:, 0], gradient, product)

    found: Derivatives = jax.vmap(one)(networks(params, at.beta), at.rate[:, None])
    return found


def hessian(
    params: Potentials, beta: Float[Array, "k h"], z: Float[Array, "b n"], head: Head
) -> Float[Array, "k b n n"]:
    """The Hessian of all potentials in z; symmetric.

    The head "tanh" adds `k2 (grad o)(grad o)'` to k1 times that of o.

    Args:
      params: the k networks.
      beta: beta of `clock` at one time.
      z: the points.
      head: what the networks end with.
    """

    def one(w: Network) -> Float[Array, "b n n"]:
        layers = _layers(w, z)
        first, second, outer = w.w3 * layers.e2, layers.e1 * layers.s, None
        if head == "tanh":
            gradient = _dot_transposed(layers.d1 * layers.s, w.w1)
            y, k1 = jnp.tanh(layers.o), slope(layers.o)
            outer = -2.0 * y * k1 * gradient, gradient
            first, second = k1 * first, k1 * second
        inner = layers.d1[:, None] * w.w1[None]
        a = jnp.einsum("bni,ij->bjn", inner, w.w2, precision=PRECISION)
        h = jnp.einsum("bhi,bh,bhj->bij", a, first, a, precision=PRECISION)
        h += jnp.einsum("ih,bh,jh->bij", w.w1, second, w.w1, precision=PRECISION)
        return h if outer is None else h + outer[0][:, :, None] * outer[1][:, None]

    found: Array = jax.vmap(one)(networks(params, beta))
    return found

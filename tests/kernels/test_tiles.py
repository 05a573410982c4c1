"""Sizes of tiles: whole axes are covered, and a program's memory holds them."""

import jax.numpy as jnp
import pytest

from jaxdis.kernels import tiles
from jaxdis.kernels.gumbel_mask import mosaic_gpu, pallas
from jaxdis.kernels.potential_flow import pallas as flow
from jaxdis.kernels.potential_flow import products
from jaxdis.kernels.tiles import Split

MIB = 2**20


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        ((512, 256, 64), (2, 256)),
        ((257, 256, 64), (2, 192)),  # not 256 and 1
        ((324, 128, 64), (3, 128)),
        ((5, 256, 64), (1, 64)),
        ((1021, 512, 16), (2, 512)),
    ],
)
def test_split(axis, expected):
    assert tiles.split(*axis) == expected


@pytest.mark.parametrize(("most", "unit"), [(64, 64), (256, 64), (512, 16), (384, 128)])
def test_parts_cover_an_axis(most, unit):
    """As few as can be, none too large, and padding is below a unit in each."""
    for size in (*range(1, 600), 1024, 9_001):
        parts, part = tiles.split(size, most, unit)
        assert part % unit == 0
        assert part <= most
        assert (parts - 1) * most < size <= parts * part < size + parts * unit
        whole = Split(1, size) if size <= most else (parts, part)
        assert tiles.whole_or(size, most, unit) == whole


def test_largest():
    assert tiles.largest(8, 64, lambda i: i * i <= 700) == 24
    assert tiles.largest(8, 16, lambda i: True) == 16
    assert tiles.largest(8, 64, lambda i: i < 8) == 0


# What 227 KiB of shared memory and 65,536 registers of 32 bits hold, for 128 threads.


@pytest.mark.parametrize("columns", [16, 32])
@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_a_hopper_program_of_the_layer_fits(columns, pieces):
    units = mosaic_gpu.most_units(columns, pieces)
    assert units == 256  # half of the registers are sums of 64 rows
    numbers = 64 * columns + units * columns + 64 * units
    assert 2 * pieces * numbers <= 227 * 1024


def test_two_hopper_programs_of_a_product_fit():
    columns = products.hopper_columns()
    assert columns == 128
    assert 2 * (2 * 3 * 64 * (64 + columns)) <= 227 * 1024


def test_a_warpgroup_s_staging_is_what_is_counted():
    make = tiles.Warpgroup(32, 3, None)
    assert make.staging(64, 32, jnp.float32).shape == (3, 64, 32)
    assert make.staging(64, 32, jnp.bfloat16).shape == (1, 64, 32)


@pytest.mark.parametrize(
    "sizes",
    [
        (1024, 10, 10, 512),
        (1024, 64, 64, 512),
        (1024, 128, 64, 512),
        (1021, 9_000, 2, 1_001),
        (8_192, 512, 2, 4_096),
        (1, 1, 1, 1),
    ],
)
def test_a_tpu_program_of_the_layer_fits(sizes):
    """Twice, since the next program's arrays come while this one runs."""
    cut = pallas.cut_up(*sizes)
    r, c, u = cut.rows.size, cut.chunks.size, cut.parts.size
    # Inputs and their gradients, weights and theirs, products.
    assert 2 * 4 * (2 * r * c + 2 * c * u + r * u) <= 16 * MIB
    assert cut.rows.parts * r >= sizes[0]
    assert cut.inputs >= sizes[1]
    assert cut.units >= sizes[3]
    # A part of an axis begins at a tile.
    assert all(a.parts == 1 or a.size % 128 == 0 for a in (cut.chunks, cut.parts))
    assert cut.rows.parts == 1 or r % 16 == 0


@pytest.mark.parametrize(
    ("sizes", "rows"),
    [
        ((128, 324, 324), 128),
        ((1021, 12, 32), 256),  # with padding
        ((3, 12, 32), 3),
        ((128, 1024, 1024), 0),  # product by product
    ],
)
def test_rows_of_a_fused_flow(sizes, rows):
    assert flow.block_of_rows(*sizes) == rows


def test_a_tpu_program_of_a_product_fits():
    assert 2 * 3 * 4 * products.SIDE**2 <= 16 * MIB

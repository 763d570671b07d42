"""Rows of the table: linear."""

import jax.numpy as jnp

import funnn.functional as F
from tests.cases._case import case

LAYERS = [
    case("Linear", 3, 5),
    case("Linear", 3, 5, bias=False, inputs=((2, 4, 3),)),
    case("Linear", 3, 5, inputs=((3,),)),
    case("Identity"),
    case("Bilinear", 3, 2, 4, inputs=((5, 3), (5, 2))),
    case("Bilinear", 3, 2, 4, bias=False, inputs=((2, 5, 3), (2, 5, 2))),
]

FUNCTIONS = {
    "grouped_mm": ([(5, 3), (2, 3, 4)], lambda a, b: F.grouped_mm(a, b, offs=jnp.array([2, 5], jnp.int32))),
    "bilinear": ([(4, 3), (4, 2), (5, 3, 2), (5,)], F.bilinear),
    "linear": ([(2, 3), (4, 3), (4,)], F.linear),
}
CONSTANT = {"scaled_mm"}

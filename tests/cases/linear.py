"""Rows of the table: linear."""

import funnn.functional as F
from tests.cases._case import case

LAYERS = [
    case("Linear", 3, 5),
    case("Linear", 3, 5, bias=False, inputs=((2, 4, 3),)),
    case("Linear", 3, 5, inputs=((3,),)),
    case("Identity"),
]

FUNCTIONS = {
    "linear": ([(2, 3), (4, 3), (4,)], F.linear),
}

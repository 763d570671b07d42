"""Rows of the table: padding."""

import funnn.functional as F
from tests.cases._case import case

IMAGE = (2, 3, 8, 7)
SIGNAL = (2, 3, 9)
VOLUME = (2, 2, 5, 6, 4)

LAYERS = [
    case(f"{kind}Pad{n}d", padding, *value, inputs=(shape,))
    for kind, value in (("Reflection", ()), ("Replication", ()), ("Circular", ()), ("Constant", (2.5,)), ("Zero", ()))
    for n, padding, shape in ((1, 2, SIGNAL), (1, (3, -1), (3, 9)), (2, (1, 2, -1, 0), IMAGE), (3, (1, 0, 2, 1, 0, 1), VOLUME))
]

FUNCTIONS = {
    "pad": ([(1, 2, 5, 4)], lambda x: F.pad(x, (2, 1, -1, 3), "reflect")),
}

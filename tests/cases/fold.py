"""Rows of the table: fold."""

import funnn.functional as F
from tests.cases._case import case

LAYERS = [
    case("Unfold", 2, inputs=((2, 3, 4, 5),)),
    case("Unfold", (3, 2), dilation=(1, 2), padding=(2, 1), stride=(2, 3), inputs=((3, 6, 7),)),
    case("Fold", (4, 5), 2, inputs=((2, 12, 12),)),
    case("Fold", (6, 7), (3, 2), dilation=(1, 2), padding=(2, 1), stride=(2, 3), inputs=((18, 12),)),
]

FUNCTIONS = {
    "unfold": ([(1, 2, 4, 5)], lambda x: F.unfold(x, 2, stride=2, padding=1)),
    "fold": ([(1, 8, 9)], lambda x: F.fold(x, (4, 5), 2, stride=2, padding=1)),
}

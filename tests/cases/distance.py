"""Rows of the table: similarities and distances."""

import funnn.functional as F
from tests.cases._case import case

PAIR = ((4, 3), (4, 3))

LAYERS = [
    case("CosineSimilarity", inputs=PAIR),
    case("CosineSimilarity", dim=0, eps=1e-3, inputs=((4, 3), (4, 1))),
    case("PairwiseDistance", inputs=PAIR),
    case("PairwiseDistance", p=1.0, keepdim=True, inputs=((2, 4, 3), (3,))),
]

FUNCTIONS = {
    "cosine_similarity": (list(PAIR), F.cosine_similarity),
    "pairwise_distance": (list(PAIR), F.pairwise_distance),
    "pdist": ([(4, 3)], F.pdist),
}

"""Rows of the table: loss."""

import jax.numpy as jnp
import numpy as np

import funnn.functional as F
from tests.cases._case import Given, Int, Uniform, case

LABELS = jnp.array([[1, 2], [1, 0]])
PAIR = ((4, 3), (4, 3))

LAYERS = [
    case("MSELoss", inputs=PAIR),
    case("MSELoss", reduction="sum", inputs=PAIR),
    case("L1Loss", reduction="none", inputs=PAIR),
    case("SmoothL1Loss", beta=0.5, inputs=PAIR),
    case("SmoothL1Loss", beta=0, reduction="sum", inputs=PAIR),
    case("HuberLoss", delta=0.5, inputs=PAIR),
    case("KLDivLoss", reduction="batchmean", inputs=((4, 3), Uniform((4, 3)))),
    case("KLDivLoss", reduction="sum", log_target=True, inputs=PAIR),
    case("PoissonNLLLoss", inputs=((4, 3), Uniform((4, 3), 0, 9))),
    case("PoissonNLLLoss", log_input=False, full=True, reduction="none", inputs=(Uniform((4, 3)), Uniform((4, 3), 0, 9))),
    case("GaussianNLLLoss", inputs=(*PAIR, Uniform((4, 3)))),
    case("GaussianNLLLoss", full=True, reduction="none", inputs=(*PAIR, Uniform((4,)))),
    case("BCELoss", inputs=(Uniform((4, 3)), Uniform((4, 3)))),
    case("BCEWithLogitsLoss", inputs=((4, 3), Uniform((4, 3)))),
    case("SoftMarginLoss", inputs=((4, 3), Given(np.array([[1, -1, 1]] * 4)))),
    case("MultiLabelSoftMarginLoss", reduction="none", inputs=((4, 3), Uniform((4, 3)))),
    case("CTCLoss", inputs=((6, 3, 5), Int((3, 2), 5, 1), Int((3,), 7, 5), Int((3,), 3, 1))),
    case("CTCLoss", blank=4, reduction="sum", zero_infinity=True, inputs=((6, 5), Int((2,), 4), Int((), 7, 6), Int((), 3, 2))),
]

FUNCTIONS = {
    "l1_loss": ([(2, 3), (2, 3)], F.l1_loss),
    "mse_loss": ([(2, 3), (2, 3)], F.mse_loss),
    "smooth_l1_loss": ([(2, 3), (2, 3)], F.smooth_l1_loss),
    "huber_loss": ([(2, 3), (2, 3)], F.huber_loss),
    "kl_div": ([(2, 3), (2, 3)], lambda x, y: F.kl_div(x, abs(y), reduction="batchmean")),
    "poisson_nll_loss": ([(2, 3), (2, 3)], lambda x, y: F.poisson_nll_loss(x, abs(y) + 1, full=True)),
    "gaussian_nll_loss": ([(2, 3), (2, 3), (2,)], lambda x, y, v: F.gaussian_nll_loss(x, y, abs(v) + 0.1)),
    "binary_cross_entropy": ([(2, 3), (2, 3)], lambda x, y: F.binary_cross_entropy(F.sigmoid(x), F.sigmoid(y))),
    "binary_cross_entropy_with_logits": ([(2, 3), (2, 3), (3,)], lambda x, y, p: F.binary_cross_entropy_with_logits(x, y, pos_weight=p)),
    "soft_margin_loss": ([(2, 3), (2, 3)], F.soft_margin_loss),
    "multilabel_soft_margin_loss": ([(2, 3), (2, 3), (3,)], F.multilabel_soft_margin_loss),
    "ctc_loss": ([(4, 2, 3)], lambda x: F.ctc_loss(F.log_softmax(x, -1), LABELS, (4, 3), (2, 1))),
}

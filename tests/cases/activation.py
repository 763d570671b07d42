"""Rows of the table: activations."""

import jax

import funnn.functional as F
from tests.cases._case import case

LAYERS = [
    *(case(name) for name in ("ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardsigmoid", "Hardswish", "Tanh", "Sigmoid", "LogSigmoid")),
    *(
        case(name)
        for name in ("Tanhshrink", "Softsign", "Hardshrink", "Softshrink", "Softplus", "ELU", "CELU", "LeakyReLU", "GELU", "Hardtanh")
    ),
    *(case(name, dim=1) for name in ("Softmax", "Softmin", "LogSoftmax")),
    case("Softmax", dim=-2, inputs=((2, 3, 4),)),
    case("Softmax2d", inputs=((2, 3, 4, 2),)),
    case("Threshold", 0.1, 20.0),
    case("ELU", 0.5),
    case("CELU", 2.0),
    case("LeakyReLU", 0.2),
    case("PReLU"),
    case("PReLU", 3, init=0.1, inputs=((2, 3, 4),)),
    case("RReLU", stochastic_=True),
    case("RReLU", 0.3, 0.4, stochastic_=True),
    case("GELU", "tanh"),
    case("GLU", inputs=((3, 4),)),
    case("GLU", 0, inputs=((4, 3),)),
    case("Hardtanh", -0.5, 0.3),
    case("Hardshrink", 0.1),
    case("Softshrink", 0.1),
    case("Softplus", 2.0, 1.0),
]

_PLAIN = (
    "celu elu gelu glu hardshrink hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish relu relu6 selu sigmoid silu softplus softshrink "
    "softsign tanh tanhshrink"
)
FUNCTIONS = {
    **{name: ([(2, 4)], getattr(F, name)) for name in _PLAIN.split()},
    "threshold": ([(2, 3)], lambda x: F.threshold(x, 0.1, 2.0)),
    "prelu": ([(2, 3), (3,)], F.prelu),
    "rrelu": ([(2, 3)], lambda x: F.rrelu(x, training=True, key=jax.random.key(0))),
    "softmax": ([(2, 3)], lambda x: F.softmax(x, 1)),
    "log_softmax": ([(2, 3)], lambda x: F.log_softmax(x, 1)),
    "softmin": ([(2, 3)], lambda x: F.softmin(x, 1)),
    "gumbel_softmax": ([(2, 3)], lambda x: F.gumbel_softmax(x, 0.7, key=jax.random.key(0))),
}

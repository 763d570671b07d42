"""torch.special: gamma, error and Bessel functions, orthogonal polynomials, and others element by element."""

from funnn.engine.ops.kit.table import namespace as _namespace
from funnn.engine.ops.kit.table import under_another_name as _under_another_name

#: Functions of the namespace ``torch`` that are here too: by their name there.
_SHARED = {
    **{
        name: name
        for name in (
            *("digamma", "erf", "erfc", "erfinv", "exp2", "expm1", "i0", "log1p", "log_softmax", "logit", "logsumexp", "polygamma"),
            *("round", "sinc", "softmax", "xlogy"),
        )
    },
    **{"expit": "sigmoid", "gammainc": "igamma", "gammaincc": "igammac", "gammaln": "lgamma", "multigammaln": "mvlgamma", "psi": "digamma"},
}
_found = {
    **{name: _under_another_name(_namespace("")[shared], f"special_{name}") for name, shared in _SHARED.items()},
    **_namespace("special"),
}

__all__ = sorted(_found)

globals().update(_found)

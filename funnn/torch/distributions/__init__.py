"""torch.distributions: distributions whose parameters are Tensors, transforms between them, and their divergence.

Seeded with ``torch.manual_seed``, samples are PyTorch's; ``rsample`` passes gradients to the parameters where ``has_rsample``.
"""

import sys as _sys
import types as _types

from funnn.torch.distributions import constraints as constraints
from funnn.torch.distributions import transforms as transforms
from funnn.torch.distributions.categories import Categorical as Categorical
from funnn.torch.distributions.categories import ExpRelaxedCategorical as _ExpRelaxedCategorical
from funnn.torch.distributions.categories import Multinomial as Multinomial
from funnn.torch.distributions.categories import OneHotCategorical as OneHotCategorical
from funnn.torch.distributions.categories import OneHotCategoricalStraightThrough as OneHotCategoricalStraightThrough
from funnn.torch.distributions.composed import Independent as Independent
from funnn.torch.distributions.composed import MixtureSameFamily as MixtureSameFamily
from funnn.torch.distributions.composed import TransformedDistribution as TransformedDistribution
from funnn.torch.distributions.constraint_registry import biject_to as biject_to
from funnn.torch.distributions.constraint_registry import transform_to as transform_to
from funnn.torch.distributions.counts import Bernoulli as Bernoulli
from funnn.torch.distributions.counts import Binomial as Binomial
from funnn.torch.distributions.counts import Geometric as Geometric
from funnn.torch.distributions.counts import NegativeBinomial as NegativeBinomial
from funnn.torch.distributions.counts import Poisson as Poisson
from funnn.torch.distributions.covariances import LKJCholesky as LKJCholesky
from funnn.torch.distributions.covariances import Wishart as Wishart
from funnn.torch.distributions.distribution import Distribution as Distribution
from funnn.torch.distributions.distribution import ExponentialFamily as ExponentialFamily
from funnn.torch.distributions.half_line import Chi2 as Chi2
from funnn.torch.distributions.half_line import Exponential as Exponential
from funnn.torch.distributions.half_line import FisherSnedecor as FisherSnedecor
from funnn.torch.distributions.half_line import Gamma as Gamma
from funnn.torch.distributions.half_line import GeneralizedPareto as GeneralizedPareto
from funnn.torch.distributions.half_line import InverseGamma as InverseGamma
from funnn.torch.distributions.half_line import Pareto as Pareto
from funnn.torch.distributions.half_line import Weibull as Weibull
from funnn.torch.distributions.intervals import Beta as Beta
from funnn.torch.distributions.intervals import ContinuousBernoulli as ContinuousBernoulli
from funnn.torch.distributions.intervals import Kumaraswamy as Kumaraswamy
from funnn.torch.distributions.intervals import LogitRelaxedBernoulli as _LogitRelaxedBernoulli
from funnn.torch.distributions.intervals import RelaxedBernoulli as RelaxedBernoulli
from funnn.torch.distributions.intervals import Uniform as Uniform
from funnn.torch.distributions.kl import kl_divergence as kl_divergence
from funnn.torch.distributions.kl import register_kl as register_kl
from funnn.torch.distributions.matrices import LowRankMultivariateNormal as LowRankMultivariateNormal
from funnn.torch.distributions.matrices import MultivariateNormal as MultivariateNormal
from funnn.torch.distributions.normal_maps import HalfCauchy as HalfCauchy
from funnn.torch.distributions.normal_maps import HalfNormal as HalfNormal
from funnn.torch.distributions.normal_maps import LogisticNormal as LogisticNormal
from funnn.torch.distributions.normal_maps import LogNormal as LogNormal
from funnn.torch.distributions.real_line import Cauchy as Cauchy
from funnn.torch.distributions.real_line import Gumbel as Gumbel
from funnn.torch.distributions.real_line import Laplace as Laplace
from funnn.torch.distributions.real_line import Normal as Normal
from funnn.torch.distributions.real_line import StudentT as StudentT
from funnn.torch.distributions.real_line import VonMises as VonMises
from funnn.torch.distributions.simplex import Dirichlet as Dirichlet
from funnn.torch.distributions.simplex import RelaxedOneHotCategorical as RelaxedOneHotCategorical
from funnn.torch.distributions.transforms import AbsTransform as AbsTransform
from funnn.torch.distributions.transforms import AffineTransform as AffineTransform
from funnn.torch.distributions.transforms import CatTransform as CatTransform
from funnn.torch.distributions.transforms import ComposeTransform as ComposeTransform
from funnn.torch.distributions.transforms import CorrCholeskyTransform as CorrCholeskyTransform
from funnn.torch.distributions.transforms import CumulativeDistributionTransform as CumulativeDistributionTransform
from funnn.torch.distributions.transforms import ExpTransform as ExpTransform
from funnn.torch.distributions.transforms import IndependentTransform as IndependentTransform
from funnn.torch.distributions.transforms import LowerCholeskyTransform as LowerCholeskyTransform
from funnn.torch.distributions.transforms import PositiveDefiniteTransform as PositiveDefiniteTransform
from funnn.torch.distributions.transforms import PowerTransform as PowerTransform
from funnn.torch.distributions.transforms import ReshapeTransform as ReshapeTransform
from funnn.torch.distributions.transforms import SigmoidTransform as SigmoidTransform
from funnn.torch.distributions.transforms import SoftmaxTransform as SoftmaxTransform
from funnn.torch.distributions.transforms import SoftplusTransform as SoftplusTransform
from funnn.torch.distributions.transforms import StackTransform as StackTransform
from funnn.torch.distributions.transforms import StickBreakingTransform as StickBreakingTransform
from funnn.torch.distributions.transforms import TanhTransform as TanhTransform
from funnn.torch.distributions.transforms import Transform as Transform
from funnn.torch.distributions.transforms import identity_transform as identity_transform

__all__ = [name for name, value in list(globals().items()) if name[:1] != "_" and not isinstance(value, _types.ModuleType)]

# torch has a module for each distribution: its name, where that is not the class's in snake case, and what else it holds
_MODULES = {
    "chi2": (Chi2,),
    "exp_family": (ExponentialFamily,),
    "fishersnedecor": (FisherSnedecor,),
    "lkj_cholesky": (LKJCholesky,),
    "lowrank_multivariate_normal": (LowRankMultivariateNormal,),
    "one_hot_categorical": (OneHotCategorical, OneHotCategoricalStraightThrough),
    "relaxed_bernoulli": (RelaxedBernoulli, _LogitRelaxedBernoulli),
    "relaxed_categorical": (RelaxedOneHotCategorical, _ExpRelaxedCategorical),
    "studentT": (StudentT,),
}


def _snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def _add_modules() -> None:
    """Make ``torch.distributions.normal`` and its like importable."""
    grouped = {kind for kinds in _MODULES.values() for kind in kinds}
    single = {kind for name in __all__ if isinstance(kind := globals()[name], type) and issubclass(kind, Distribution)}
    own = {_snake_case(kind.__name__): (kind,) for kind in single - grouped - {Distribution}}
    for name, kinds in {**_MODULES, **own}.items():
        module = _types.ModuleType(f"{__name__}.{name}", kinds[0].__doc__)
        module.__dict__.update({kind.__name__: kind for kind in (Distribution, *kinds)})
        module.__file__ = _sys.modules[kinds[0].__module__].__file__  # whose text inspect.getsource looks for
        for kind in kinds:
            kind.__module__ = module.__name__
        globals()[name] = _sys.modules[module.__name__] = module


_add_modules()

"""Invertible maps with the logarithm of their Jacobian's determinant, with which distributions are made of others."""

from funnn.torch.distributions.transforms.base import ComposeTransform as ComposeTransform
from funnn.torch.distributions.transforms.base import Transform as Transform
from funnn.torch.distributions.transforms.base import identity_transform as identity_transform
from funnn.torch.distributions.transforms.elementwise import AbsTransform as AbsTransform
from funnn.torch.distributions.transforms.elementwise import AffineTransform as AffineTransform
from funnn.torch.distributions.transforms.elementwise import CumulativeDistributionTransform as CumulativeDistributionTransform
from funnn.torch.distributions.transforms.elementwise import ExpTransform as ExpTransform
from funnn.torch.distributions.transforms.elementwise import PowerTransform as PowerTransform
from funnn.torch.distributions.transforms.elementwise import SigmoidTransform as SigmoidTransform
from funnn.torch.distributions.transforms.elementwise import SoftplusTransform as SoftplusTransform
from funnn.torch.distributions.transforms.elementwise import TanhTransform as TanhTransform
from funnn.torch.distributions.transforms.joined import CatTransform as CatTransform
from funnn.torch.distributions.transforms.joined import IndependentTransform as IndependentTransform
from funnn.torch.distributions.transforms.joined import ReshapeTransform as ReshapeTransform
from funnn.torch.distributions.transforms.joined import StackTransform as StackTransform
from funnn.torch.distributions.transforms.vectors import CorrCholeskyTransform as CorrCholeskyTransform
from funnn.torch.distributions.transforms.vectors import LowerCholeskyTransform as LowerCholeskyTransform
from funnn.torch.distributions.transforms.vectors import PositiveDefiniteTransform as PositiveDefiniteTransform
from funnn.torch.distributions.transforms.vectors import SoftmaxTransform as SoftmaxTransform
from funnn.torch.distributions.transforms.vectors import StickBreakingTransform as StickBreakingTransform

__all__ = [name for name in globals() if name.endswith("ransform") and name[:1] != "_"]

# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.distributions.categories import OneHotCategorical as OneHotCategorical
from funnn.torch.distributions.categories import OneHotCategoricalStraightThrough as OneHotCategoricalStraightThrough
from funnn.torch.distributions.distribution import Distribution as Distribution



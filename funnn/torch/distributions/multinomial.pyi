# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.distributions.categories import Multinomial as Multinomial
from funnn.torch.distributions.distribution import Distribution as Distribution



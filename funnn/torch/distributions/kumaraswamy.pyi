# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.distributions.distribution import Distribution as Distribution
from funnn.torch.distributions.intervals import Kumaraswamy as Kumaraswamy



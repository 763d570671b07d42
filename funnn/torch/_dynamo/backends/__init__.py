"""torch._dynamo.backends: the names of backends."""

from funnn.torch._dynamo.backends import debugging as debugging
from funnn.torch._dynamo.backends import registry as registry

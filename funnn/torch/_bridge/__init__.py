"""The way between the two worlds: a Module as a Layer, a Layer as a Module, and ``funnn.summary`` of a Module."""

from funnn.torch._bridge import summary as summary
from funnn.torch._bridge.functional import from_functional as from_functional
from funnn.torch._bridge.functional import to_functional as to_functional

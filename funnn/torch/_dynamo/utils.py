"""torch._dynamo.utils: what has been counted."""

from funnn.torch._compiling.contexts import counters as counters

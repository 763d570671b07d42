"""torch._dynamo.backends.registry."""

from funnn.torch._compiling.backends import get_default_backend as get_default_backend
from funnn.torch._compiling.backends import list_backends as list_backends
from funnn.torch._compiling.backends import lookup_backend as lookup_backend
from funnn.torch._compiling.backends import register_backend as register_backend
from funnn.torch._compiling.backends import set_default_backend as set_default_backend

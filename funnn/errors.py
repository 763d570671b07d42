"""The exceptions that funnn raises for bad input.

Each class is both what a JAX user catches (``ValueError``, ``TypeError``) and what PyTorch raises in the same place (``RuntimeError``), because
one kernel serves both worlds. Every message says what came, what was expected and how to mend it.
"""


class ShapeError(ValueError, RuntimeError):
    """An array has the wrong rank or a size that does not fit the others."""


class ShapeValueError(ShapeError):
    """A ShapeError where PyTorch raises ValueError."""


class DtypeError(TypeError, ValueError, NotImplementedError):
    """An array has a dtype that the operation does not take; PyTorch raises each of the three, or RuntimeError, somewhere."""


class KeyRequiredError(ValueError, RuntimeError):
    """A stochastic function or layer was called in training without a random key."""


class TransformedLayerError(RuntimeError, ValueError):
    """A layer draws random numbers or assigns a buffer inside a transformation of JAX's that began inside ``forward``, where that would be lost."""


class FrozenLayerError(AttributeError, TypeError):
    """An attribute of a Layer was assigned; layers are values and only buffers change, inside ``forward``."""


class ArgumentError(ValueError, RuntimeError):
    """An argument that is no array has a value out of its range."""


class ArgumentValueError(ArgumentError):
    """An ArgumentError where PyTorch raises ValueError."""


class AssertedError(ValueError, RuntimeError, AssertionError):
    """Shapes or arguments do not fit, where torch checks it by an assertion."""


class MixedTorchError(ImportError, TypeError):
    """PyTorch itself is in use where funnn.torch was to be: a program imports both, or imported PyTorch before ``funnn.install()``."""


class ExportError(ValueError):
    """A layer, or something that it computes, can't be made a program in a file."""

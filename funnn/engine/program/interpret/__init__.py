"""Jaxprs as NumPy functions: what runs a computation that comes once, for which XLA would compile longer than it computes.

``translate`` writes Python source with one NumPy call a primitive. The sizes of symbolic dimensions are arguments of the function, so one
trace serves every batch size and length. Values are those of XLA on a CPU up to rounding; a primitive or dtype without a rule raises
``Untranslatable``.
"""

from funnn.engine.program.interpret.translate import translate as translate
from funnn.engine.program.interpret.writer import Untranslatable as Untranslatable

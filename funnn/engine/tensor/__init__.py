"""The Tensor: a window on a Storage with a place in the recorded graph; its copies and pickles, and generators of random numbers."""

from funnn.engine.tensor import pickling as pickling

"""Scripts in the styles of PyTorch's public examples and tutorials, which print on funnn what they print on PyTorch.

They are complete programs with the habits of many hands, small enough to take seconds. What they print is compared line by line as
``python -m funnn port --verify`` does: numbers may differ by one in the last digit that is printed, or by 10⁻⁵ of themselves.
"""

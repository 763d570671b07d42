"""Types of numbers, layouts, limits, nested containers, settings, the text of tensors."""

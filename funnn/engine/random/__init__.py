"""PyTorch's random numbers on a CPU: the generator and what is made of its draws."""

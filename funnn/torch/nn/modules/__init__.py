"""The classes of torch.nn; ``rows`` derives them from the layers."""

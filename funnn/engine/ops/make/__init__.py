"""Making tensors: of one value, of data, at random."""

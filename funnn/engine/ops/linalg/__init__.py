"""Products, decompositions, solvers, distances."""

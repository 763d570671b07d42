"""What backward needs of an operation: nodes, edges, hooks."""

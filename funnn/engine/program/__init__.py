"""What operations compute: values that may still be pending, the graph that will give them, and the programs that run it."""

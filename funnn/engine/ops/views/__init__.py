"""Views and what rearranges."""

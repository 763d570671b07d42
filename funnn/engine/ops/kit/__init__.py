"""What operations share: the table and the policies of its rows."""

"""A shop that has had its own table of members for years, and names of its own in it."""

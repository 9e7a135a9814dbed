"""Cards on their way to phones."""

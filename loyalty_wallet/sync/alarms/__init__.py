"""When operators are called, and by whom they hear of it."""

"""Messages to the customers of a program."""

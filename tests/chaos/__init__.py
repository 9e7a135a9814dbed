"""Process-level tests: real workers, databases and brokers that are stopped and killed."""

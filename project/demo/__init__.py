"""What `manage.py demo` shows: a coffee shop, its customers, and an emulated Google in trouble."""

"""Tags for the pages of your own site."""

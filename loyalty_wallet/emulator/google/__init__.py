"""The emulated Google Wallet."""

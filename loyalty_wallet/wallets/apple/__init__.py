"""Apple Wallet: signed `.pkpass` archives, and pushes over APNs."""

"""What phones, providers and monitors call over HTTP."""

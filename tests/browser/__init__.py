"""Tests in a real browser: Debian's Chromium, driven by Playwright, looking at a live server."""

"""Tests in Debian's chromium, driven over its DevTools protocol; `make test-browser` runs them."""

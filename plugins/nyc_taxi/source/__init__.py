"""The source: check for a published file, wait for it, download it."""

"""From the source: ask for a published file, wait for it, download it."""

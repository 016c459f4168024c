"""What several stages need: files that appear whole, and skipping with a reason."""

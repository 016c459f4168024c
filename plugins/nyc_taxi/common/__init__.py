"""Helpers for several stages: atomic file writes, SQL files, and skipping a task with a reason."""

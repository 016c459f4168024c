"""Helpers for several stages: file writes, safe text in messages, SQL files, and skipping a task with a reason."""

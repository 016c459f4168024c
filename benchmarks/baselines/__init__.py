"""The measured programs of the baselines: the course's steps, or a lower limit."""

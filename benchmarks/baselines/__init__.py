"""The measured programs that do it the other way: as the course's flows do, or as it cannot be done better."""

"""The measured programs of ours: each uses the pipeline's own functions for one step."""

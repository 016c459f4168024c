"""The measured programs that do it our way: each does one thing with the pipeline's own functions."""

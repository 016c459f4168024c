"""What others build on the pipeline: examples to start from."""

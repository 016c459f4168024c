"""Tests of whole stacks. A package, because the stack that they share ends with the last of them."""

"""Thin operators, one class a file, for the steps that no provider has an operator for."""

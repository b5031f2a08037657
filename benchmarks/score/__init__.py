"""Rows a second and memory of scoring files."""

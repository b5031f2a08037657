"""Twelve kinds of hostile clients beside honest ones: `make abuse`."""

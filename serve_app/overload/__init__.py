"""Admission of uncached texts to the model, and retry times for refused callers."""

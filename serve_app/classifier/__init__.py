"""The model replica: tokenize, queue, run in passes."""

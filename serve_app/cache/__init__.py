"""The cache, one entry per text: an in-process LRU in front, Redis behind."""

"""An API server on loopback: the REST paths, discovery, apply, patch and errors of Kubernetes, over a store in memory.

Shapes are those of a v1.34 server. What a real one computes from an apply (defaults, managed fields) is left out;
generation, resourceVersion and field conflicts are kept, since the client decides by them.
"""

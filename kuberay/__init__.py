"""The manifests for Kubernetes, and `python -m kuberay`, which applies them and reports faults."""

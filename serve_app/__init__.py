"""Everything that runs inside Ray Serve: ingress -> predictor -> cache and the classifier's handle."""

"""`python -m serve_app.local`: run the service on this machine, and leave nothing behind."""

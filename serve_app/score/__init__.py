"""Score files of any size with the service's model: `python -m serve_app.score INPUT OUTPUT`."""

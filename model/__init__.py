"""Where the model comes from and how it is made ready; imports nothing of serve_app."""

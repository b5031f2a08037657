"""`make overload`: an open loop of ten times the model's peak, and the outcome of every client."""

"""`make overload`: ten times what the model can do, open loop, and what becomes of every client."""

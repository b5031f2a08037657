"""The lean server, as an expert would write it: bare ASGI around this repository's engine, and no Ray."""

"""The rival that an expert would write: bare ASGI around this repository's engine, and no Ray."""

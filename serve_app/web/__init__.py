"""The HTTP side of the service, from request bytes to response bytes. It does not depend on the model."""

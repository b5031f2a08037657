"""Bytes in, bytes out: what HTTP asks of the service. It knows no model."""

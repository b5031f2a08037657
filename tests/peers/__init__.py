"""The same few requests by the HTTP clients of other languages; each prints what it got, a line a request."""

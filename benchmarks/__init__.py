"""`make bench`: this service and the plain stack, side by side on one machine."""

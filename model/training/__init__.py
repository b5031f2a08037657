"""The parts of `python -m model.train`; nothing here is imported by the running service."""

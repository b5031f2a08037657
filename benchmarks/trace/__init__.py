"""Traces the time of requests that go to the model, stage by stage."""

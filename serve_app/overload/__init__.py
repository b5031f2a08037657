"""Which texts may go to the model, and when refused callers come back."""

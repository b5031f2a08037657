"""How texts are answered."""

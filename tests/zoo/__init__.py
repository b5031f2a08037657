"""Model directories in every state that people bring: small, random, made in a moment."""

"""The base model: where it comes from, and how its files are made to agree."""

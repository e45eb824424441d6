"""What a person types: one file per command, its parser and its work."""

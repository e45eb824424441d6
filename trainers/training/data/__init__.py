"""From documents and conversations to rows of tokens."""

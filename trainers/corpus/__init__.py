"""The corpus chain: small blocks from landed files to clean shards."""

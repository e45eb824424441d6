"""The assets, one file per domain."""

"""The Dagster code location: what exists, from what it is made, when it is re-made."""

"""How a drop becomes a release: folders, buckets, claims, quarantine."""

"""What a user may add to the platform without changing it: one of each kind."""

"""Everything that Dagster starts by itself: jobs, sensors, incidents, housekeeping, drift."""

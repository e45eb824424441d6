"""A stage as a Kubernetes Job: specification, launcher, what its pods say, what is left behind."""

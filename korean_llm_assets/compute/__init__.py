"""Where stages run: local processes, or Kubernetes Jobs; both give back a verified manifest."""

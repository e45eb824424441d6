"""What runs inside the job container: every stage from a text drop to an exported model, without Dagster."""

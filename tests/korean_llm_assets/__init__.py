"""Tests of the Dagster code location."""

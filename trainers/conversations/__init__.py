"""Stages `instructions` and `preferences`: rows, their quality, their sets."""

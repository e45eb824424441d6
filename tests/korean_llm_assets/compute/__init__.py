"""Tests of where stages run."""

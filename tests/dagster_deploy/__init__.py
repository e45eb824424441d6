"""Tests of images, manifests and chart values."""

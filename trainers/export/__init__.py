"""Stage `export`: what is published."""

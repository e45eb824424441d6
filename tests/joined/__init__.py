"""What needs both worlds: the code location and the trainers."""

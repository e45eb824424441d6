"""Model backends behind one small interface: transformers + peft, and unsloth where there is a GPU."""

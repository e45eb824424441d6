"""Korean text, and no stage: reading, decoding, normalising, filtering, masking, splitting."""

"""Stages `base_model`, `cpt`, `sft`, `rlhf`, and what they share."""

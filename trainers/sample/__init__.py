"""The CC0 sample release: hand-written and generated Korean, a little English, items to learn and be judged by."""

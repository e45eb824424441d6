"""Model x release: keys, the models' recipes, requests, pointers to artifacts, the take-down list."""

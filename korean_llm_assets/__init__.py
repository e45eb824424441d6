"""The Dagster code location: what exists, from what it is made, when it is re-made."""

import warnings

from dagster import BetaWarning

# Conditions of our own and links to code are beta in the pinned dagster; said once here instead of at every import.
warnings.filterwarnings(
    "ignore", category=BetaWarning, message=".*(use_user_code_server|CodeReference|with_source_code_references)"
)

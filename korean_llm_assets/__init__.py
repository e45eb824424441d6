"""The Dagster code location: what exists, from what it is made, when it is re-made."""

import warnings

from dagster import BetaWarning

# Conditions of our own and links to code are beta in the pinned dagster; so are the owners of a sensor, which it names
# itself where ours have none. Said once here instead of at every import.
warnings.filterwarnings(
    "ignore",
    category=BetaWarning,
    message=".*(use_user_code_server|CodeReference|with_source_code_references|`owners` of initializer `SensorDef)",
)

"""Where the files lie that stages attach to MLflow's runs: in its database by `mlflow-artifacts:`, never by a folder.

A folder's own path in the database would point to the old place once KOREAN_LLM_HOME is moved. MLflow's server serves
that scheme from the folder of the day; whoever works on the database without a server reads and writes there itself.
"""

import os

ROOT = "mlflow-artifacts:/"
FOLDER = "MLFLOW_ARTIFACTS"
"""The variable that names the folder where there is no server; unset where a server keeps the files."""


def place(uri: str) -> str:
    """Of a run's files as the database has it, where they are for this process: below the folder, if one is named."""
    folder = os.environ.get(FOLDER)
    return f"{folder}/{uri.removeprefix(ROOT)}" if folder and uri.startswith(ROOT) else uri

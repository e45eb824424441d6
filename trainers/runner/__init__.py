"""From a request to a committed artifact: the stage, its ranks, its reports, its tracking, its metrics."""

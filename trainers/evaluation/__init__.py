"""The parts of the evaluation stage: suites, a model under test, measures, intervals, the gate and the report."""

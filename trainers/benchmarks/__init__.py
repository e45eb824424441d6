"""Stage `benchmarks`: published and own forms of suites, and checks of answers."""

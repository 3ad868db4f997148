"""Goal probes, transitions, associations and reports over tables of a run."""

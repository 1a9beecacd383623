"""The command line: a file a verb; `main` finds it, and is the only place that catches errors."""

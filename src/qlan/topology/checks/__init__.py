"""What is wrong with a whole topology: a file per subject, each a generator of problems."""

"""The difference between what is wanted and what is there, in the order in which it must be done."""

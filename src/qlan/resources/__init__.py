"""What a host holds: every noun of the planner on one page (`model`), and to JSON and back (`codec`)."""

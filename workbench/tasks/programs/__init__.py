"""Programs as tasks: what a row may ask of one, how its values and outputs are compared, what is said of failures."""

"""Everything that people can ask of an open workbench: a queue of jobs, published state, actions. Knows no page."""

"""Reading an answer: reasoning taken off, and what is judged found in the rest."""

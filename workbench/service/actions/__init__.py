"""The actions: one typed function per verb, grouped by what they act on."""

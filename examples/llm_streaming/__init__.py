"""An example: tokens of a language model in a page that survives everything."""

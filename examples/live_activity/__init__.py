"""An example: a Klein site whose page updates by itself."""

"""Labs and other programs' files: one file (or folder) per foreign format, to export to, to import from."""

"""A page on which directions are tried by hand: a curve for each attribute, before and after side by side."""

"""How the bundled models and dictionaries are trained."""

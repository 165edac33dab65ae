"""A language model behind OpenAI's API: requests of different steerings share one forward."""

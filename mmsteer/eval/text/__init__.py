"""What is measured on a language model's answers, and rewards made of it."""

"""Other libraries' chatter, kept off the terminal."""


def hush() -> None:
    """Let transformers speak of errors alone."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()

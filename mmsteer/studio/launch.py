"""The page on an address."""

import os
from typing import Any

from mmsteer.studio.outputs import STYLE
from mmsteer.studio.page import Page
from mmsteer.studio.workshop import Workshop


def start(workshop: Workshop, host: str, port: int) -> Any:
    """Serve the page in threads of its own: no file of the machine, and nothing to anybody outside.

    Args:
        workshop: What it works on.
        host: The address.
        port: And its port.

    Returns:
        The page: its `block_thread` waits until it is interrupted, its `close` ends it.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    page = Page(workshop).build()
    page.queue(api_open=False)
    page.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        allowed_paths=[],
        blocked_paths=[str(workshop.folder.resolve())],
        footer_links=[],
        max_file_size="16mb",
        ssr_mode=False,
        css=STYLE,
        prevent_thread_lock=True,
    )
    return page

"""Files on the Hugging Face Hub, by addresses such as `hf://user/repo/file.safetensors`."""

import re
from contextlib import suppress
from pathlib import Path

from mmsteer.errors import DirectionError, clip
from mmsteer.formats.gguf_file import MAX_BYTES

REPO = r"[A-Za-z0-9][\w.-]*/[\w.-]+"
# A path of pathlib has lost one of the two slashes.
_ADDRESS = re.compile(rf"hf:/{{1,2}}(?P<repo>{REPO}?)(?:@(?P<revision>[\w./-]+?))?/(?P<file>[^/].*)")
_TROUBLES = (OSError, ValueError)
"""What the hub's client raises: HTTP errors, connections and its offline mode are among the first."""


def is_address(path: str | Path) -> bool:
    """Whether a path is an address on the hub.

    Args:
        path: Such as `hf://user/repo/file.safetensors`.
    """
    return str(path).startswith("hf:/")


def fetched(address: str | Path) -> Path:
    """The file at an address, in the cache of huggingface_hub; it is fetched where it is not there.

    Args:
        address: `hf://user/repo/file` or `hf://user/repo@revision/file`.

    Raises:
        DirectionError: The address cannot be read, the file is larger than directions may be, or it is neither on the
            hub nor in the cache.
    """
    match = _ADDRESS.fullmatch(str(address))
    if not match or ".." in match["file"].split("/"):
        raise DirectionError(
            f"{clip(str(address))} is no address; write hf://user/repo/file or hf://user/repo@revision/file"
        )
    from huggingface_hub import hf_hub_download

    repo, revision, file = match["repo"], match["revision"], match["file"]
    _check_size(address, repo, revision, file)
    try:
        return Path(hf_hub_download(repo, file, revision=revision))
    except _TROUBLES as cause:
        raise DirectionError(f"{address} cannot be fetched ({first_line(cause)}); {HELP}") from None


HELP = "check the address, the connection (HF_HUB_OFFLINE, HF_ENDPOINT) and, for private repositories, HF_TOKEN"


def first_line(cause: BaseException) -> str:
    """What an error of the hub's client says, shortened to one line.

    Args:
        cause: The error.
    """
    lines = [line for line in str(cause).splitlines() if line.strip()]
    return clip(f"{type(cause).__name__}: {lines[0] if lines else ''}", 300).strip("'\"")


def _check_size(address: str | Path, repo: str, revision: str | None, file: str) -> None:
    """Refuse a file before it is fetched.

    Raises:
        DirectionError: It is too large.
    """
    size = None
    # Without a connection the cache may have it.
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    with suppress(*_TROUBLES):
        size = get_hf_file_metadata(hf_hub_url(repo, file, revision=revision)).size
    if size is not None and size > MAX_BYTES:
        raise DirectionError(f"{address} has {size} bytes; a file of directions has at most {MAX_BYTES}")

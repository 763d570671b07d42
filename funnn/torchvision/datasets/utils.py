"""torchvision.datasets.utils: downloads and archives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from funnn.torchvision import _download


def check_integrity(fpath: str | Path, md5: str | None = None) -> bool:
    """Whether there is a file, with that checksum if there is one."""
    return _download.matches(Path(fpath), md5)


def download_url(url: str, root: str | Path, filename: Any = None, md5: str | None = None, max_redirect_hops: int = 3) -> None:
    """Download a file into a folder, if it is not there with that checksum.

    Raises:
      RuntimeError: it cannot be downloaded, or has another checksum.
    """
    _download.download_url(url, root, filename, md5)


def extract_archive(from_path: str | Path, to_path: str | Path | None = None, remove_finished: bool = False) -> Any:
    """Unpack a tar or zip file, by default where it is. Gives the folder."""
    source = Path(from_path)
    folder = Path(to_path) if to_path is not None else source.parent
    _download.extract(source, folder)
    if remove_finished:
        source.unlink()
    return str(folder) if isinstance(from_path, str) else folder


def download_and_extract_archive(
    url: str,
    download_root: str | Path,
    extract_root: str | Path | None = None,
    filename: Any = None,
    md5: str | None = None,
    remove_finished: bool = False,
) -> None:
    """Download an archive into a folder, and unpack it into ``extract_root``, by default the same folder.

    Raises:
      RuntimeError: it cannot be downloaded, or has another checksum.
    """
    path = _download.download_url(url, Path(download_root).expanduser(), filename, md5)
    extract_archive(path, extract_root or Path(download_root).expanduser(), remove_finished)

"""Files from the network, kept in a folder, with checksums."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import urlparse


def matches(path: Path, md5: str | None) -> bool:
    """Whether there is a file, with that checksum if there is one."""
    return path.is_file() and (md5 is None or hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == md5)


def fetch(url: str, path: Path) -> None:
    """Write what an address gives to a file, whole or not at all.

    Raises:
      RuntimeError: it cannot be reached; the message says where the file has to be put by hand.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    try:
        with (
            urllib.request.urlopen(urllib.request.Request(url, headers={"User-Agent": "funnn"}), timeout=60) as answer,
            part.open("wb") as file,
        ):
            shutil.copyfileobj(answer, file)
    except (urllib.error.URLError, OSError) as error:
        part.unlink(missing_ok=True)
        raise RuntimeError(f"could not download {url} ({error}); where there is no network, put that file at {path}") from error
    part.replace(path)


def download_url(url: str, root: str | Path, filename: str | None = None, md5: str | None = None) -> Path:
    """The file of an address in a folder, downloaded if it is not there with that checksum.

    Raises:
      RuntimeError: it cannot be downloaded, or has another checksum.
    """
    path = Path(root).expanduser() / (filename or Path(urlparse(url).path).name)
    if matches(path, md5):
        return path
    fetch(url, path)
    if not matches(path, md5):
        raise RuntimeError(f"File not found or corrupted: {path} does not have the MD5 checksum {md5}")
    return path


def extract(archive: Path, folder: Path) -> None:
    """Unpack a tar or zip file."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(folder)
    else:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")

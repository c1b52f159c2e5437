"""Files that operating systems and programs leave in folders of images."""

_NAMES = {"thumbs.db", "desktop.ini", "@eadir", "__macosx"}


def passed_over(name: str) -> bool:
    """Return whether a file or folder of this name is no user's image: hidden, or left by a system."""
    return name.startswith(".") or name.lower() in _NAMES

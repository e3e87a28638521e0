# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit Body from Image: shaped, rigged, posed bodies from a photo, in front of the photo's camera.

The fit runs in its own process (``dsr-fit --serve``) in the user's Python; this package reads the files it writes.
"""

bl_info = {
    "name": "Fit Body from Image",
    "author": "The dsr developers",
    "version": (0, 1, 0),
    "blender": (3, 4, 0),
    "location": "3D View > Sidebar > Fit Body; Add > Mesh; File > Import",
    "description": "Shaped, rigged, posed bodies from a photo, with the matching camera",
    "category": "Import-Export",
}


def register() -> None:
    """Blender turns the add-on on."""
    from . import registration

    registration.register()


def unregister() -> None:
    """Blender turns the add-on off; a running fit is stopped."""
    from . import registration

    registration.unregister()

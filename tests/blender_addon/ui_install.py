"""Runs in ``blender -b``: installs the zip as a user would, sets the Python, saves the preferences."""

import sys

import bpy

zip_path, module, python = sys.argv[sys.argv.index("--") + 1 :][:3]
bpy.ops.preferences.addon_install(filepath=zip_path, overwrite=True)
assert bpy.ops.preferences.addon_enable(module=module) == {"FINISHED"}
if python:
    bpy.context.preferences.addons[module].preferences.python = python
bpy.context.preferences.view.show_splash = False
bpy.ops.wm.save_userpref()

"""Runs in the bpy wheel: installs the zip as an extension and imports a result with it."""

import sys

import bpy

zip_path, result = sys.argv[1:3]
bpy.ops.extensions.package_install_files(filepath=zip_path, repo="user_default", enable_on_install=True, overwrite=True)
name = "bl_ext.user_default.dsr_fit_body"
assert name in bpy.context.preferences.addons, list(bpy.context.preferences.addons.keys())
assert bpy.context.preferences.addons[name].preferences.time_limit == 120
assert bpy.ops.fitbody.import_result(filepath=result) == {"FINISHED"}
collection = next(c for c in bpy.data.collections if c.name.startswith("FitBody"))
assert collection["fitbody_version"] == "0.1.0"
folder = sys.modules[f"{name}.compat"].user_folder(name)
assert folder.is_dir() and "extensions" in str(folder), folder
bpy.ops.preferences.addon_disable(module=name)
assert not hasattr(bpy.types.Object, "dsr_fit_body")
sys.stdout.write("EXTENSION FINE\n")

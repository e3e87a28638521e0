"""What the package and the Blender add-on share: names of bones, a pose on another skeleton, BVH as text.

These modules need Python and numpy alone and import one another relatively, so that a copy of them works inside the
add-on, which imports nothing of ``dsr`` (``blender_addon/build.py`` puts them into its zip).
"""

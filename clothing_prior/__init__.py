"""How the clothing prior is learned: from CC0 garments, from clothed scans, from fitted photographs (``dsr-prior``).

What it gives is read by :mod:`dsr.clothing`; nothing in the package ``dsr`` but its command needs this folder.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes things in the scene from a result; data API only, except the round trip through edit mode that bones need."""

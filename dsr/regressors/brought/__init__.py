"""Networks and results of other projects that give 3D keypoints: InstantHMR's ONNX files, results of SAM 3D Body.

They speak of MHR, another body than SMPL. What carries over are joints, so they take the place of the detector's 3D
landmarks, with how far they are off, and the fit does the rest.
"""

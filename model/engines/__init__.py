"""What answers. ONNX Runtime is told to send nothing before any module here, or above, can import it."""

import os

# Else it sends its makers what models it opens, and writes a number of this machine and a database under the user's
# home. Only its own C code reads this variable, so `putenv` is enough.
os.putenv("ORT_DISABLE_TELEMETRY", "1")

"""Puts pip into a virtual environment of ansible-test without its download host.

ansible-test makes an environment for each sanity test and bootstraps pip with a script it downloads. Where only the
package index is in reach that stops everything; pip is bundled with Python, and the version asked for is on the index.
"""

from __future__ import annotations

import ensurepip
import os
import subprocess
import sys

# Switches of the downloaded script that pip itself does not know.
BOOTSTRAP_ONLY = {"--no-setuptools", "--no-wheel"}

ensurepip.bootstrap()
os.environ.pop("PIP_CONFIG_FILE", None)  # ensurepip sets it for itself; pip below shall obey the user's settings
arguments = [argument for argument in sys.argv[1:] if argument not in BOOTSTRAP_ONLY]
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *arguments], check=False).returncode)

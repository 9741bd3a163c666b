"""Lets another Python find the packages of the one that runs the tests, behind its own standard library: among them may
be an old argparse, which nnU-Net brings along."""

import os
import sys

sys.path.append(os.environ["XRAY_TEST_PACKAGES"])

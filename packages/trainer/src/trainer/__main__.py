"""`python -m trainer COMMAND`, for torchrun: `torchrun --nproc-per-node 2 -m trainer train`."""

import sys

from trainer.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""The layers' functions a second time, for speed: with hand-derived gradients, for the CPU.

Each gives what the plain function in the folder above gives, in fewer passes over memory and
keeping less for the backward pass. None can be differentiated twice: NN_KERNELS=reference keeps to
the plain functions, which can. `nn.triton_kernels.selection` says when which of them serves.
"""

import torch

# A step frees what the next one allocates. Between the two, glibc hands it back to the system, and
# new pages are found and cleared: up to a tenth of a small model's time. It keeps twice as much as
# the largest block that it has handed back, blocks of 32 MB and more aside. So here it gets one,
# of which no page is touched.
torch.empty(31 * 2**20, dtype=torch.uint8)

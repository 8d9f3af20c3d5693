"""The layers' functions a second time, for speed: with hand-derived gradients, for the CPU.

Each gives what the plain function in the folder above gives, in fewer passes over memory and
keeping less for the backward pass. Products aside, none can be differentiated twice:
NN_KERNELS=reference keeps to the plain functions, which can. `nn.triton_kernels.selection` says
when which of them serves.
"""

from nn.fused.kept_memory import keep_freed_memory

keep_freed_memory()

"""Triton kernels for CUDA devices; `selection` says when they serve.

Every module but that one imports Triton, and is itself imported where it is used.
"""

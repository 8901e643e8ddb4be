// The source of the target that owns the precompiled LibTorch header; it has nothing of its own.

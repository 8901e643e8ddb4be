// The source of the target that owns the precompiled headers of tests; it has nothing of its own.

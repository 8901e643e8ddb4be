// The source of the targets that own precompiled headers; it has nothing of its own.

# Flags of our own targets, ccache, and the build type.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # The sloppiness is what ccache's manual asks for with precompiled headers; of these large files it remembers the hashes.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_INODECACHE=true ${CCACHE_PROGRAM})
endif()

# A compiler that we do not build with every day may warn of what is none: there a warning shall not end a user's set-up.
set(known_compiler OFF)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION MATCHES "^12\\.")
  set(known_compiler ON)
endif()
option(RANKTUNE_WARNINGS_ARE_ERRORS "Warnings in our code are errors (default: with GCC 12)" ${known_compiler})

add_library(ranktune_flags INTERFACE)
target_compile_options(ranktune_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor $<$<BOOL:${RANKTUNE_WARNINGS_ARE_ERRORS}>:-Werror>
  # The same source must give the same bits on every machine that runs the same kernels.
  -ffp-contract=off
  $<$<BOOL:${CCACHE_PROGRAM}>:-fpch-preprocess>)
target_include_directories(ranktune_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
if(RANKTUNE_SANITIZE)
  # A finding ends the program, so that a test fails of it.
  target_compile_options(ranktune_flags INTERFACE
    -fsanitize=${RANKTUNE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
    # GCC's manual: sanitizers make it warn of what is none.
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(ranktune_flags INTERFACE -fsanitize=${RANKTUNE_SANITIZE})
endif()

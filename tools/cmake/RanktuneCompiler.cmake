# Flags of our own targets, ccache, and the build type. Warnings are errors in our code only.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # The sloppiness is what ccache's manual asks for with precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      ${CCACHE_PROGRAM})
endif()

add_library(ranktune_flags INTERFACE)
target_compile_options(ranktune_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Werror
  # The same source must give the same bits on every machine that runs the same kernels.
  -ffp-contract=off
  $<$<BOOL:${CCACHE_PROGRAM}>:-fpch-preprocess>)
target_include_directories(ranktune_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
if(RANKTUNE_SANITIZE)
  target_compile_options(ranktune_flags INTERFACE -fsanitize=${RANKTUNE_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(ranktune_flags INTERFACE -fsanitize=${RANKTUNE_SANITIZE})
endif()

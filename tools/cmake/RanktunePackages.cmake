# Third-party packages, from the system or from the prefix given with CMAKE_PREFIX_PATH.
# What launch/setup --offline unpacked comes first (then .deps/environment must be sourced for mpicc and mpirun to work).
# With RPATH instead of RUNPATH the libraries there find each other too.
set(sysroot ${CMAKE_SOURCE_DIR}/.deps/sysroot/usr)
if(EXISTS ${sysroot})
  list(PREPEND CMAKE_PREFIX_PATH ${sysroot})
  add_link_options(LINKER:--disable-new-dtags LINKER:-rpath,${sysroot}/lib/${CMAKE_LIBRARY_ARCHITECTURE})
endif()

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(MPI REQUIRED COMPONENTS C)

# ranktune_find(NAME HEADER file LIBRARY names... [SUFFIX include subfolder]): a library without a usable CMake package
function(ranktune_find name)
  cmake_parse_arguments(ARG "" "HEADER;SUFFIX" "LIBRARY" ${ARGN})
  find_path(${name}_INCLUDE ${ARG_HEADER} PATH_SUFFIXES ${ARG_SUFFIX} REQUIRED)
  add_library(deps::${name} INTERFACE IMPORTED)
  target_include_directories(deps::${name} SYSTEM INTERFACE ${${name}_INCLUDE})
  if(ARG_LIBRARY)
    find_library(${name}_LIBRARY NAMES ${ARG_LIBRARY} REQUIRED)
    target_link_libraries(deps::${name} INTERFACE ${${name}_LIBRARY})
  endif()
endfunction()
ranktune_find(cli11 HEADER CLI/CLI.hpp)
ranktune_find(tomlplusplus HEADER toml++/toml.h)
ranktune_find(simdjson HEADER simdjson.h LIBRARY simdjson)
ranktune_find(pcre2 HEADER pcre2.h LIBRARY pcre2-8)
ranktune_find(utf8proc HEADER utf8proc.h LIBRARY utf8proc)
ranktune_find(xxhash HEADER xxhash.h LIBRARY xxhash)
ranktune_find(zstd HEADER zstd.h LIBRARY zstd)
ranktune_find(hdf5 HEADER hdf5.h LIBRARY hdf5_serial hdf5 SUFFIX hdf5/serial)

# LibTorch as imported targets of our own. find_package(Torch) insists on a CUDA toolkit for the PyPI wheel, whose
# CPU libraries run without one, so only its location is taken from there.
#   Torch_DIR   .../torch/share/cmake/Torch of an existing LibTorch or Python torch; default: what launch/setup installed.
set(Torch_DIR ${CMAKE_SOURCE_DIR}/.deps/libtorch/torch/share/cmake/Torch CACHE PATH
    "The folder of LibTorch's TorchConfig.cmake")
get_filename_component(TORCH_ROOT ${Torch_DIR}/../../.. REALPATH)
if(NOT EXISTS ${TORCH_ROOT}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "No LibTorch at ${TORCH_ROOT}. Run launch/setup, or give an existing one with "
                      "-DTorch_DIR=.../torch/share/cmake/Torch.")
endif()
file(STRINGS ${TORCH_ROOT}/share/cmake/Torch/TorchConfigVersion.cmake torch_version REGEX "PACKAGE_VERSION \"")
string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" TORCH_VERSION "${torch_version}")
if(NOT TORCH_VERSION VERSION_GREATER_EQUAL 2.11)
  message(FATAL_ERROR "LibTorch ${TORCH_VERSION} at ${TORCH_ROOT} is too old: 2.11 is needed.")
endif()

# The NVIDIA wheels lie beside torch (pip's layout); the toolkit's own libraries are found by the system's loader.
file(GLOB torch_nvidia_folders ${TORCH_ROOT}/../nvidia/*/lib)
function(ranktune_torch_component name)
  add_library(torch::${name} SHARED IMPORTED)
  set_target_properties(torch::${name} PROPERTIES IMPORTED_LOCATION ${TORCH_ROOT}/lib/lib${name}.so)
endfunction()
ranktune_torch_component(c10)
ranktune_torch_component(torch_cpu)

set(RANKTUNE_HAVE_CUDA OFF)
if(NOT RANKTUNE_CUDA STREQUAL "OFF" AND EXISTS ${TORCH_ROOT}/lib/libtorch_cuda.so)
  find_package(CUDAToolkit 13.0 QUIET)
  find_path(NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ${TORCH_ROOT}/../nvidia/nccl/include)
  find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${CUDAToolkit_LIBRARY_DIR} ${TORCH_ROOT}/../nvidia/nccl/lib)
  if(CUDAToolkit_FOUND AND NCCL_INCLUDE AND NCCL_LIBRARY)
    set(RANKTUNE_HAVE_CUDA ON)
  endif()
endif()
if(RANKTUNE_CUDA STREQUAL "ON" AND NOT RANKTUNE_HAVE_CUDA)
  message(FATAL_ERROR "RANKTUNE_CUDA=ON needs the CUDA 13 toolkit, NCCL and a CUDA build of LibTorch "
                      "(toolkit: ${CUDAToolkit_LIBRARY_DIR}, nccl.h: ${NCCL_INCLUDE}, libnccl: ${NCCL_LIBRARY}).")
endif()

add_library(ranktune_torch INTERFACE)
target_include_directories(ranktune_torch SYSTEM INTERFACE
  ${TORCH_ROOT}/include ${TORCH_ROOT}/include/torch/csrc/api/include)
target_link_libraries(ranktune_torch INTERFACE torch::torch_cpu torch::c10)
# LibTorch's headers bring their own, newer fmt in front of the system's: used header-only, the two (whose inline
# namespaces differ) live side by side.
target_compile_definitions(ranktune_torch INTERFACE FMT_HEADER_ONLY=1)
target_link_options(ranktune_torch INTERFACE
  "LINKER:-rpath,${TORCH_ROOT}/lib" "LINKER:--allow-shlib-undefined")
if(RANKTUNE_HAVE_CUDA)
  ranktune_torch_component(c10_cuda)
  # libtorch_cuda registers its kernels when it is loaded, so it must stay although no symbol of it is named.
  target_link_libraries(ranktune_torch INTERFACE torch::c10_cuda
    "-Wl,--push-state,--no-as-needed,${TORCH_ROOT}/lib/libtorch_cuda.so,--pop-state")
  add_library(ranktune_cuda INTERFACE)
  target_include_directories(ranktune_cuda SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS} ${NCCL_INCLUDE})
  target_link_libraries(ranktune_cuda INTERFACE CUDA::cudart ${NCCL_LIBRARY})
  target_compile_definitions(ranktune_cuda INTERFACE RANKTUNE_HAVE_CUDA=1)
  target_link_libraries(ranktune_torch INTERFACE ranktune_cuda)
else()
  add_library(ranktune_cuda INTERFACE)
endif()
message(STATUS "LibTorch ${TORCH_VERSION} at ${TORCH_ROOT}; GPU path: ${RANKTUNE_HAVE_CUDA}")

# LibTorch's headers are compiled once and shared by all targets that use them. Only those of tensors: torch/torch.h, whole,
# leaves templates behind that every file would instantiate again, 10 s each.
add_library(ranktune_torch_pch OBJECT ${CMAKE_SOURCE_DIR}/tools/cmake/torch_pch.cc)
target_link_libraries(ranktune_torch_pch PRIVATE ranktune_flags ranktune_base ranktune_torch)
target_precompile_headers(ranktune_torch_pch PRIVATE <torch/types.h> <torch/utils.h> <nlohmann/json.hpp> <fmt/format.h>)
function(ranktune_use_torch target)
  target_link_libraries(${target} PUBLIC ranktune_torch)
  target_precompile_headers(${target} REUSE_FROM ranktune_torch_pch)
endfunction()

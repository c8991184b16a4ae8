# The table `cuda` of room kernels (src/engine/kernels/cuda/*.cu), where a compiler for CUDA is there. Without one the room
# is left out: `--backend cuda` says so then, and nothing else changes. What is linked is static; the driver is loaded at
# run time, so that the program starts where there is none.
#
# PKV_CUDA: AUTO (where nvcc 12.3 or newer is found, and no sanitizer is asked for), ON (an error where it is not), OFF.
set(PKV_CUDA AUTO CACHE STRING "Build the table for NVIDIA's GPUs: AUTO, ON or OFF")
set_property(CACHE PKV_CUDA PROPERTY STRINGS AUTO ON OFF)

set(why "")
if(PKV_CUDA STREQUAL "OFF")
  set(why "it is not asked for (PKV_CUDA)")
elseif(PKV_SANITIZE OR PKV_FUZZ)
  set(why "nvcc does not take this build's sanitizers")
else()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_ARCHITECTURES OFF)
    enable_language(CUDA)
    # CMake before 3.26 does not know how nvcc spells it.
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    endif()
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.3)
      set(why "${CMAKE_CUDA_COMPILER} is ${CMAKE_CUDA_COMPILER_VERSION}, and 12.3 is needed")
    endif()
  else()
    set(why "no nvcc was found (CUDACXX, or CMAKE_CUDA_COMPILER, says where one is)")
  endif()
endif()

if(why STREQUAL "")
  find_library(PKV_CUDART cudart_static
               HINTS ${CMAKE_CUDA_IMPLICIT_LINK_DIRECTORIES} ${CMAKE_CUDA_HOST_IMPLICIT_LINK_DIRECTORIES}
               REQUIRED DOC "CUDA's runtime, static")
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/engine/kernels/cuda/*.cu)
  add_library(pkv_cuda OBJECT ${sources})
  set_target_properties(pkv_cuda PROPERTIES CUDA_STANDARD 20 CUDA_EXTENSIONS OFF UNITY_BUILD OFF)
  target_include_directories(pkv_cuda PRIVATE ${CMAKE_SOURCE_DIR}/src)
  # No contraction by the compiler's choice, as everywhere in this project: pkv_options. Functions that are constexpr may
  # be called on the device.
  target_compile_options(pkv_cuda PRIVATE -gencode=arch=compute_90a,code=sm_90a -fmad=false --expt-relaxed-constexpr -O3
                         -Xcompiler=-Wall,-ffp-contract=off)
  target_sources(pkv_kernels PRIVATE $<TARGET_OBJECTS:pkv_cuda>)
  target_compile_definitions(pkv_kernels PRIVATE PKV_CUDA)
  target_link_libraries(pkv_kernels PRIVATE ${PKV_CUDART} ${CMAKE_DL_LIBS} Threads::Threads rt)
elseif(PKV_CUDA STREQUAL "ON")
  message(FATAL_ERROR "PKV_CUDA=ON, but ${why}")
else()
  message(STATUS "No table for NVIDIA's GPUs: ${why}")
endif()

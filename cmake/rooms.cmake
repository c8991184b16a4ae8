# pkv_room(FOLDER ...): the static library pkv_NAME (pkv::NAME outside) made of src/FOLDER/**.cc, where NAME is the last
# part of FOLDER; linked to the rooms and libraries that cmake/rooms.txt allows it. Libraries are linked privately: no
# header of a room shows one, so that whoever uses the room neither compiles against its libraries nor waits for their
# headers. A room without sources is an INTERFACE library.

set(PKV_ROOMS_FILE ${CMAKE_CURRENT_LIST_DIR}/rooms.txt)
set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PKV_ROOMS_FILE})

set(PKV_LIBRARY_fmt fmt::fmt)
set(PKV_LIBRARY_threads Threads::Threads)
set(PKV_LIBRARY_nlohmann_json nlohmann_json::nlohmann_json)
set(PKV_LIBRARY_pcre2 PkgConfig::pcre2)
set(PKV_LIBRARY_utf8proc PkgConfig::utf8proc)
set(PKV_LIBRARY_hwy hwy::hwy)
set(PKV_LIBRARY_curl PkgConfig::curl)
set(PKV_LIBRARY_openssl PkgConfig::openssl)
set(PKV_LIBRARY_zip PkgConfig::zip)
set(PKV_LIBRARY_xxhash PkgConfig::xxhash)

function(pkv_rooms)
  file(STRINGS ${PKV_ROOMS_FILE} lines REGEX "^[a-z/]+:")
  foreach(line IN LISTS lines)
    string(REGEX MATCH "^([a-z/]+):([^|]*)[|](.*)$" _ "${line}")
    set(room ${CMAKE_MATCH_1})
    separate_arguments(uses UNIX_COMMAND "${CMAKE_MATCH_2}")
    separate_arguments(libraries UNIX_COMMAND "${CMAKE_MATCH_3}")
    pkv_room(${room} "${uses}" "${libraries}")
  endforeach()
endfunction()

# Presets that are built from nothing compile several sources at once (CMAKE_UNITY_BUILD), since headers cost more than
# what is in the sources. Not those that compile themselves again for each instruction set, nor the pages of
# architectures, each of which calls its parts by the same names.
function(pkv_one_by_one folder)
  list(FILTER ARGN INCLUDE REGEX "/engine/(kernels|model/arch)/")
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

function(pkv_room folder uses libraries)
  get_filename_component(room ${folder} NAME)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${folder}/*.cc)
  set(scope PUBLIC)
  set(library_scope PRIVATE)
  if(sources)
    add_library(pkv_${room} STATIC ${sources})
    target_link_libraries(pkv_${room} PRIVATE $<BUILD_INTERFACE:pkv_options>)
    # What computes is compiled as the build type says (-O3 in a release). What stands around it computes little, and
    # -O2 compiles it in three quarters of the time.
    if(NOT folder MATCHES "^(engine|base|text)")
      target_compile_options(pkv_${room} PRIVATE $<$<CONFIG:Release>:-O2>)
    endif()
    # Vectors are checked neither for their alignment, as the processor sees to that, nor for their scope, and arrays of
    # them not for their bounds, as the address sanitizer sees to that: each was as much to compile as the kernels are.
    if(folder STREQUAL "engine/kernels" AND PKV_SANITIZE MATCHES "address,undefined" AND NOT PKV_FUZZ)
      target_compile_options(pkv_${room} PRIVATE -fno-sanitize=alignment,bounds -fno-sanitize-address-use-after-scope)
    endif()
    pkv_one_by_one(${folder} ${sources})
  else()
    add_library(pkv_${room} INTERFACE)
    set(scope INTERFACE)
    set(library_scope INTERFACE)
  endif()
  add_library(pkv::${room} ALIAS pkv_${room})
  set_target_properties(pkv_${room} PROPERTIES EXPORT_NAME ${room})
  target_include_directories(pkv_${room} ${scope} $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src>
                             $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/pkv>)
  target_compile_features(pkv_${room} ${scope} cxx_std_20)
  foreach(use IN LISTS uses)
    get_filename_component(use ${use} NAME)
    target_link_libraries(pkv_${room} ${scope} pkv_${use})
  endforeach()
  foreach(library IN LISTS libraries)
    target_link_libraries(pkv_${room} ${library_scope} ${PKV_LIBRARY_${library}})
  endforeach()
  set_property(GLOBAL APPEND PROPERTY PKV_ROOM_TARGETS pkv_${room})
  set_property(GLOBAL APPEND PROPERTY PKV_ROOM_FOLDERS ${folder})
endfunction()

# cmake -D BUILD=... -D SOURCE=... -D SCRATCH=... -D GENERATOR=... -D COMPILER=... [-D SANITIZE=...] -P package_test.cmake
cmake_minimum_required(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(status)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nexits with ${status}:\n${out}")
  endif()
  set(out "${out}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${SCRATCH})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${SCRATCH}/installed)
file(RENAME ${SCRATCH}/installed ${SCRATCH}/moved)

# Nothing that was installed knows where it was built.
file(GLOB_RECURSE described ${SCRATCH}/moved/*.cmake)
if(NOT described)
  message(FATAL_ERROR "no CMake files were installed")
endif()
foreach(file IN LISTS described)
  file(READ ${file} text)
  foreach(place ${SOURCE} ${BUILD} pkv_options)
    string(FIND "${text}" ${place} at)
    if(NOT at EQUAL -1)
      message(FATAL_ERROR "${file} speaks of ${place}")
    endif()
  endforeach()
endforeach()

# Every public header and every bundled model is there.
foreach(pair "src/*.h|include/pkv" "models/*|share/pkv/models")
  string(REPLACE "|" ";" pair ${pair})
  list(GET pair 0 from)
  list(GET pair 1 to)
  get_filename_component(folder ${from} DIRECTORY)
  file(GLOB_RECURSE files RELATIVE ${SOURCE}/${folder} ${SOURCE}/${from})
  foreach(file IN LISTS files)
    if(NOT EXISTS ${SCRATCH}/moved/${to}/${file})
      message(FATAL_ERROR "${folder}/${file} is not installed in ${to}")
    endif()
  endforeach()
endforeach()

# So is what people and shells read, and the recorder, which the program names from where it was moved to.
foreach(file share/man/man1/pkv.1 share/bash-completion/completions/pkv share/zsh/site-functions/_pkv
        share/fish/vendor_completions.d/pkv.fish share/pkv/tools/record_transformers.py share/pkv/tools/record_probes.py
        share/pkv/tools/record_inside.py)
  file(READ ${SCRATCH}/moved/${file} text)
  if(NOT text MATCHES "pkv")
    message(FATAL_ERROR "${file} says nothing of pkv")
  endif()
endforeach()
if(NOT EXISTS ${SCRATCH}/moved/share/pkv/tools/recorded_names.json)  # which the recorder reads when it begins
  message(FATAL_ERROR "the names that a recording may have were not installed")
endif()
file(WRITE ${SCRATCH}/other/config.json "{\"model_type\": \"mamba\"}")
execute_process(COMMAND ${SCRATCH}/moved/bin/pkv check ${SCRATCH}/other RESULT_VARIABLE status ERROR_VARIABLE said)
if(NOT status EQUAL 3 OR NOT said MATCHES "python3 [^\n]*moved/share/pkv/tools/record_transformers.py")
  message(FATAL_ERROR "of a model that it does not run the installed program says:\n${said}")
endif()

set(flags "")
if(SANITIZE)
  set(flags "-fsanitize=${SANITIZE} -fno-sanitize-recover=all")
endif()
run(${CMAKE_COMMAND} -S ${SOURCE}/tests/package/consumer -B ${SCRATCH}/consumer -G ${GENERATOR}
    -D CMAKE_CXX_COMPILER=${COMPILER} -D CMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER} -D CMAKE_CXX_FLAGS=${flags}
    -D CMAKE_PREFIX_PATH=${SCRATCH}/moved)
run(${CMAKE_COMMAND} --build ${SCRATCH}/consumer)
run(${SCRATCH}/consumer/consumer ${SCRATCH}/moved/share/pkv/models/tiny-gpt2)
if(NOT out MATCHES "(^|\n)consumer: tiny-gpt2, pkv cpu [^\n]*: identical")
  message(FATAL_ERROR "the consumer printed:\n${out}")
endif()
file(REMOVE_RECURSE ${SCRATCH})

# cmake --install: the program, its man page and what shells complete, the recorder, the libraries with their headers, the
# bundled models, and what find_package(pkv) reads.
include(CMakePackageConfigHelpers)

get_property(targets GLOBAL PROPERTY PKV_ROOM_TARGETS)
install(TARGETS ${targets} EXPORT pkv ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS pkv_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(PROGRAMS tools/record_transformers.py DESTINATION ${CMAKE_INSTALL_DATADIR}/pkv/tools)
install(FILES tools/record_probes.py tools/record_inside.py tools/recorded_names.json
        DESTINATION ${CMAKE_INSTALL_DATADIR}/pkv/tools)

# What pkv says of itself for man and for shells, with the names of the models that are bundled.
set(manual ${CMAKE_CURRENT_BINARY_DIR}/manual)
file(MAKE_DIRECTORY ${manual})
function(pkv_manual file)
  add_custom_command(OUTPUT ${manual}/${file} COMMAND pkv_program ${ARGN} > ${manual}/${file} DEPENDS pkv_program VERBATIM)
  set_property(GLOBAL APPEND PROPERTY PKV_MANUAL ${manual}/${file})
endfunction()
pkv_manual(pkv.1 man)
pkv_manual(pkv completion bash)
pkv_manual(_pkv completion zsh)
pkv_manual(pkv.fish completion fish)
get_property(files GLOBAL PROPERTY PKV_MANUAL)
add_custom_target(pkv_manual ALL DEPENDS ${files})
install(FILES ${manual}/pkv.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${manual}/pkv DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${manual}/_pkv DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${manual}/pkv.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(DIRECTORY src/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/pkv FILES_MATCHING PATTERN "*.h")
install(DIRECTORY models/ DESTINATION ${CMAKE_INSTALL_DATADIR}/pkv/models OPTIONAL)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(EXPORT pkv NAMESPACE pkv:: FILE pkv-targets.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/pkv)
configure_package_config_file(cmake/pkv-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/pkv-config.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/pkv)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/pkv-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/pkv-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/pkv-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/pkv)

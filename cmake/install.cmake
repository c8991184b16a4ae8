# cmake --install: the program, the libraries with their headers, the bundled models, and what find_package(pkv) reads.
include(CMakePackageConfigHelpers)

get_property(targets GLOBAL PROPERTY PKV_ROOM_TARGETS)
install(TARGETS ${targets} EXPORT pkv ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS pkv_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY src/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/pkv FILES_MATCHING PATTERN "*.h")
install(DIRECTORY models/ DESTINATION ${CMAKE_INSTALL_DATADIR}/pkv/models OPTIONAL)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(EXPORT pkv NAMESPACE pkv:: FILE pkv-targets.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/pkv)
configure_package_config_file(cmake/pkv-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/pkv-config.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/pkv)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/pkv-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/pkv-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/pkv-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/pkv)

# What the HTML pages of src/show/page.h hold beside their words, compiled into pkv_show: their style, and the script that
# draws charts. That is Vega, from the distribution's package libjs-vega, with its licence.
find_path(PKV_VEGA vega-view.min.js PATHS /usr/share/javascript/vega DOC "The folder of Vega's modules (Debian: libjs-vega)")
find_file(PKV_VEGA_LICENCE copyright PATHS /usr/share/doc/libjs-vega NO_DEFAULT_PATH
          DOC "The licence of Vega (Debian: libjs-vega)")
if(NOT PKV_VEGA OR NOT PKV_VEGA_LICENCE)
  message(FATAL_ERROR "Vega was not found. On Debian: apt-get install libjs-vega")
endif()

# Each after those that it asks for.
set(modules util time format loader dataflow scale canvas scenegraph statistics expression selection functions encode
    transforms view-transforms runtime view event-selector parser interpreter)
set(page ${CMAKE_SOURCE_DIR}/src/show/page)
set(PKV_PAGE_STYLE ${page}/page.css)
set(PKV_PAGE_SCRIPT ${CMAKE_CURRENT_BINARY_DIR}/page/page.js)
set(inputs ${page}/modules.js ${page}/page.js)

file(READ ${page}/modules.js script)
foreach(module IN LISTS modules)
  set(file ${PKV_VEGA}/vega-${module}.min.js)
  list(APPEND inputs ${file})
  file(READ ${file} text)
  string(REGEX REPLACE "\n//# sourceMappingURL[^\n]*" "" text "${text}")
  string(REPLACE "vega-selection" "vega-selections" name "vega-${module}")
  string(APPEND script "naming = \"${name}\";\n${text}\n")
endforeach()
file(READ ${page}/page.js text)
string(APPEND script "${text}")
file(WRITE ${PKV_PAGE_SCRIPT}.new "(() => {\n\"use strict\";\n${script}})();\n")
file(COPY_FILE ${PKV_PAGE_SCRIPT}.new ${PKV_PAGE_SCRIPT} ONLY_IF_DIFFERENT)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${inputs})

configure_file(${CMAKE_CURRENT_LIST_DIR}/page.cc.in ${CMAKE_CURRENT_BINARY_DIR}/page/parts.cc @ONLY)
set_source_files_properties(${CMAKE_CURRENT_BINARY_DIR}/page/parts.cc PROPERTIES OBJECT_DEPENDS
                            "${PKV_PAGE_STYLE};${PKV_PAGE_SCRIPT};${PKV_VEGA_LICENCE}")
target_sources(pkv_show PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/page/parts.cc)

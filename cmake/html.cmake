# What the HTML pages of src/show/html hold beside their words, compiled into pkv_show: their style, and the script that
# draws charts. That is Vega, from the distribution's package libjs-vega, with its licence. Without Vega, pages say where
# a chart would be.
option(PKV_VEGA "Draw the charts of HTML pages with Vega, if it is there" ON)
find_path(PKV_VEGA_MODULES vega-view.min.js PATHS /usr/share/javascript/vega
          DOC "The folder of Vega's modules (Debian: libjs-vega)")
find_file(PKV_VEGA_LICENCE copyright PATHS /usr/share/doc/libjs-vega NO_DEFAULT_PATH
          DOC "The licence of Vega (Debian: libjs-vega)")

set(html ${CMAKE_SOURCE_DIR}/src/show/html)

# pkv_vega(VARIABLE): Vega's modules, each after those that it asks for, and what draws with them, as one script.
function(pkv_vega variable)
  set(modules util time format loader dataflow scale canvas scenegraph statistics expression selection functions encode
      transforms view-transforms runtime view event-selector parser interpreter)
  file(READ ${html}/modules.js script)
  foreach(module IN LISTS modules)
    file(READ ${PKV_VEGA_MODULES}/vega-${module}.min.js text)
    string(REGEX REPLACE "\n//# sourceMappingURL[^\n]*" "" text "${text}")
    string(REPLACE "vega-selection" "vega-selections" name "vega-${module}")
    string(APPEND script "naming = \"${name}\";\n${text}\n")
  endforeach()
  file(READ ${html}/charts.js text)
  set(${variable} "(() => {\n\"use strict\";\n${script}${text}})();\n" PARENT_SCOPE)
  file(GLOB inputs ${PKV_VEGA_MODULES}/*.min.js)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${inputs} ${html}/modules.js ${html}/charts.js)
endfunction()

# pkv_literals(VARIABLE TEXT): TEXT as raw string literals between commas. Compilers bound how long one may be, and some
# want each to be UTF-8, so none begins within a character.
function(pkv_literals variable text)
  set(all "")
  string(LENGTH "${text}" end)
  set(from 0)
  while(from LESS end)
    math(EXPR to "${from} + 8000")
    set(byte "80")
    while(to LESS end AND byte MATCHES "^[89ab]")
      string(SUBSTRING "${text}" ${to} 1 byte)
      string(HEX "${byte}" byte)
      if(byte MATCHES "^[89ab]")
        math(EXPR to "${to} - 1")
      endif()
    endwhile()
    math(EXPR size "${to} - ${from}")
    string(SUBSTRING "${text}" ${from} ${size} piece)
    string(APPEND all "R\"pkv(${piece})pkv\",\n")
    set(from ${to})
  endwhile()
  set(${variable} "${all}" PARENT_SCOPE)
endfunction()

# pkv_html_parts(FILE SCRIPT LICENCE): the source of what html/parts.h declares.
function(pkv_html_parts file script licence)
  file(READ ${html}/style.css style)
  foreach(part style script licence)
    pkv_literals(PKV_${part} "${${part}}")
  endforeach()
  configure_file(${CMAKE_SOURCE_DIR}/cmake/html.cc.in ${file} @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${html}/style.css)
endfunction()

set(script "")
set(licence "")
if(PKV_VEGA AND PKV_VEGA_MODULES AND PKV_VEGA_LICENCE)
  pkv_vega(script)
  file(READ ${PKV_VEGA_LICENCE} licence)
elseif(PKV_VEGA)
  message(STATUS "Vega was not found: HTML pages will have no charts. On Debian: apt-get install libjs-vega")
endif()
set(PKV_HTML_PARTS ${CMAKE_CURRENT_BINARY_DIR}/html/parts.cc)
pkv_html_parts(${PKV_HTML_PARTS} "${script}" "${licence}")
target_sources(pkv_show PRIVATE ${PKV_HTML_PARTS})

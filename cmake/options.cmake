# pkv_options: how every target of this project is compiled. Not for those who link to it.
#
# No fast-math, and no contraction of a*b+c by the compiler's choice: where a fused multiply-add is meant it is written,
# so that the same expression has the same bits wherever it is compiled (docs/decisions/).
add_library(pkv_options INTERFACE)
target_compile_options(pkv_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
                       -Wno-missing-field-initializers -ffp-contract=off)
# gcc 12 sees overlapping copies in joined strings (gcc bug 105651) and uninitialised reads of defaulted members where there
# are none.
target_compile_options(pkv_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
if(PKV_WERROR)
  target_compile_options(pkv_options INTERFACE -Werror)
endif()
if(PKV_SANITIZE)
  add_compile_options(-fsanitize=${PKV_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${PKV_SANITIZE})
  # Where memory is read and written that is not there, the address sanitizer says so. The same asked a second time by the
  # other one is half of what a room costs to compile. The fuzzers ask for all.
  if(PKV_SANITIZE MATCHES "address,undefined" AND NOT PKV_FUZZ)
    add_compile_options(-fno-sanitize=null,object-size,pointer-overflow,nonnull-attribute,returns-nonnull-attribute,vptr)
  endif()
endif()
if(PKV_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

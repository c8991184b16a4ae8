# Run at every build: cmake -DFOLDER=... -DFILE=... -P commit.cmake. Writes FILE, a C++ source that says which commit
# the sources are of ("1a2b3c4", with "-changed" where files differ from it), if that is news.
execute_process(COMMAND git -C ${FOLDER} describe --always --abbrev=12 --exclude=* --dirty=-changed
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit "")
endif()
file(CONFIGURE OUTPUT ${FILE} @ONLY CONTENT [[
#include "version.h"

namespace pkv::program {
std::string_view commit() { return "@commit@"; }
}  // namespace pkv::program
]])

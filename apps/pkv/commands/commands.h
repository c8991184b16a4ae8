// The commands of pkv, as data (options/option.h). Nothing is read or run by asking for them.
#pragma once

#include "options/option.h"

namespace pkv::program {

// Each is in the file of its name.
Command check_command();
Command review_command();  // in check.cc
Command logits_command();
Command tokenize_command();
Command inspect_command();
Command perplexity_command();
Command quantize_command();
Command article_command();
Command generate_command();
Command past_command();
Command bench_command();
Command download_command();
Command cache_command();
Command version_command();
Command help_command();        // in version.cc
Command completion_command();  // in manual.cc
Command man_command();         // in manual.cc

// pkv itself, with all of them.
Command pkv_command();

}  // namespace pkv::program

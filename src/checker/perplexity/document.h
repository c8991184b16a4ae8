// How a perplexity is told: as a Document, which show/ renders in any form, and as JSON. Pure functions of the result.
#pragma once

#include <string>

#include "checker/perplexity/perplexity.h"
#include "show/document.h"

namespace pkv::perplexity {

show::Document document(const Result& result);
std::string report_json(const Result& result);  // "schema": "pkv-perplexity/1"

}  // namespace pkv::perplexity

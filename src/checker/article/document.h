// How the article's runs are told again: as a Document, which show/ renders in any form, and as JSON. Pure functions.
#pragma once

#include <span>
#include <string>

#include "checker/article/article.h"
#include "show/document.h"

namespace pkv::article {

show::Document document(std::span<const RetoldRun> runs);
std::string report_json(std::span<const RetoldRun> runs);  // "schema": "pkv-article/1"

}  // namespace pkv::article

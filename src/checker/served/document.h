// The check of a server told: a Document for every form, JSON and JUnit.
#pragma once

#include <string>

#include "checker/served/report.h"
#include "show/document.h"

namespace pkv::served {

show::Document document(const Report& report);
std::string report_json(const Report& report);  // docs/schema/pkv-server-1.json
std::string report_junit(const Report& report);

}  // namespace pkv::served

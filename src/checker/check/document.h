// How a check is told: as a Document, which show/ renders in any form, and in the two forms that hold more or other
// things, JSON and JUnit's XML. Pure functions of the report.
#pragma once

#include <span>
#include <string>

#include "checker/check/report.h"
#include "show/document.h"

namespace pkv {
class JsonWriter;
}

namespace pkv::check {

// A model of a review that could not be checked, and why.
struct NotChecked {
  std::string model, message;
};

show::Document document(const Report& report);

// Many models: all of each, and a line for each.
show::Document review(std::span<const Report> reports, std::span<const NotChecked> others = {});

void write_json(JsonWriter& writer, const Report& report);
std::string report_json(const Report& report);   // docs/schema/pkv-check-2.json; infinities and NaN are null
std::string report_junit(const Report& report);  // XML for CI systems: a test per experiment and proof
std::string review_json(std::span<const Report> reports,
                        std::span<const NotChecked> others = {});  // docs/schema/pkv-review-2.json
std::string review_junit(std::span<const Report> reports, std::span<const NotChecked> others = {});  // others: errors

// The article's table: a row for each of Summary::names, numbers as pandas shows them.
show::Table pandas_table(const Table& table);

}  // namespace pkv::check

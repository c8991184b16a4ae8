#include "show/visit.h"

#include "show/columns.h"

namespace pkv::show {

std::vector<std::size_t> columns_for(Readers reader, const Table& table) {
  std::vector<std::size_t> columns;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (is_for(reader, table.columns[i].readers)) columns.push_back(i);
  }
  return columns;
}

std::string joined(const std::vector<std::string>& parts, std::string_view between) {
  std::string all;
  for (const std::string& part : parts) {
    if (part.empty()) continue;
    if (!all.empty()) all += between;
    all += printable(part);
  }
  return all;
}

}  // namespace pkv::show

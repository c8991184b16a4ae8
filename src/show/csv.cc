// CSV, for programs: the first table that has keys. What is not in it is not told.
#include "show/columns.h"
#include "show/document.h"

namespace pkv::show {
namespace {

bool has_keys(const Table& table) {
  for (const Column& c : table.columns) {
    if (!c.key.empty()) return true;
  }
  return false;
}

const Table* table_with_keys(const std::vector<Block>& blocks) {
  for (const Block& block : blocks) {
    const Table* table = std::get_if<Table>(&block.content);
    if (table != nullptr && has_keys(*table)) return table;
  }
  return nullptr;
}

std::string line_of(const std::vector<Column>& columns, const auto& cell) {
  std::vector<std::string> cells;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (!columns[i].key.empty()) cells.push_back(cell(i));
  }
  return csv_line(cells);
}

}  // namespace

std::string as_csv(const Document& document) {
  const Table* table = table_with_keys(document.overview);
  if (table == nullptr) table = table_with_keys(document.body);
  if (table == nullptr) return "";
  const std::vector<Column>& columns = table->columns;
  std::string all = line_of(columns, [&](std::size_t i) { return columns[i].key; });
  for (const Row& row : table->rows) all += line_of(columns, [&](std::size_t i) { return row.cells[i].data; });
  return all;
}

}  // namespace pkv::show

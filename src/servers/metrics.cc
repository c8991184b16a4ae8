#include "servers/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace pkv::servers {

std::optional<double> metric(std::string_view page, std::string_view name) {
  std::optional<double> sum;
  while (!page.empty()) {
    const std::string_view line = page.substr(0, page.find('\n'));
    page.remove_prefix(std::min(page.size(), line.size() + 1));
    if (!line.starts_with(name)) continue;
    std::string_view rest = line.substr(name.size());
    if (rest.starts_with('{')) {
      const auto end = rest.rfind('}');  // a label may hold a bracket
      if (end == rest.npos) continue;
      rest.remove_prefix(end + 1);
    }
    if (!rest.starts_with(' ')) continue;  // another name that begins alike
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    double value = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error == std::errc() && std::isfinite(value)) sum = sum.value_or(0) + value;
  }
  return sum;
}

}  // namespace pkv::servers

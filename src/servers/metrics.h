// Prometheus' text format, as servers write it under /metrics: as much of it as counts.
#pragma once

#include <optional>
#include <string_view>

namespace pkv::servers {

// The sum of a metric over all its labels: lines "name 3" and "name{...} 3". Nothing where it has no line.
std::optional<double> metric(std::string_view page, std::string_view name);

}  // namespace pkv::servers

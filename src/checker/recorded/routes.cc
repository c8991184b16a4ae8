#include "checker/recorded/routes.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "checker/compare/bound.h"

namespace pkv::check {

void require_sound_routes(const Recording& r) {
  if (!r.routes) return;
  const auto layers = std::ssize(r.routes->apart.layers), tokens = std::ssize(r.ids);
  const bool named = layers == std::ssize(r.routes->layers);
  const bool of_tokens = std::ranges::all_of(
      r.routes->apart.layers, [&](const std::vector<float>& layer) { return std::ssize(layer) == 3 * tokens; });
  if (named && of_tokens && r.routes->apart.width == 3) return;
  fail_load({.what = "not a recording: the experts that were taken are not those of its text",
             .where = r.description.name + ": 'routes'",
             .expected = fmt::format("[{}, {}, 3]", r.routes->layers.size(), tokens),
             .found = fmt::format("[{}, .., {}]", layers, r.routes->apart.width)});
}

std::optional<RouterTie> router_tie(const Recording& r) {
  if (!r.routes) return std::nullopt;
  for (std::int64_t token = 0; token < std::ssize(r.ids); ++token) {
    for (std::size_t l = 0; l < r.routes->apart.layers.size(); ++l) {
      const float* at = &r.routes->apart.layers[l][static_cast<std::size_t>(3 * token)];
      const float near = at[0], moved = at[1], largest = at[2];
      if (near < 0) continue;
      Description until = r.description;
      until.layers = std::max<std::int64_t>(r.routes->layers[l], 1);
      const double could = rounding_bound(until, largest).value;
      if (!(moved <= could)) return std::nullopt;
      return RouterTie{.token = r.past_tokens + token, .layer = r.routes->layers[l], .apart = near, .could = could};
    }
  }
  return std::nullopt;
}

}  // namespace pkv::check

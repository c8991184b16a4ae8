// The pictures of a report, with the words that belong to them; where there is nothing to draw, words alone or nothing.
#pragma once

#include <optional>

#include "checker/check/report.h"
#include "show/document.h"

namespace pkv::check {

using Picture = std::optional<show::Block>;

Picture heat_map(const Report& report);           // split × position
Picture layers_chart(const Report& report);       // how the states part from layer to layer
Picture logits_chart(const Report& report);       // histograms of the last position's logits
Picture differences_chart(const Report& report);  // and of their |Δ|

// What a picture is made of: words alone, or a chart.
inline show::Block told(std::string words) { return {show::Paragraph{std::move(words)}, show::browser}; }
inline show::Block drawn(std::string title, std::string words, std::string specification) {
  return {show::Chart{std::move(title), std::move(words), std::move(specification)}, show::browser};
}

}  // namespace pkv::check

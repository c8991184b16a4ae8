#include "engine/model/arch/mixture.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "engine/model/arch/arch.h"

namespace pkv::model::arch {
namespace {

// Which layers have an MLP.
std::vector<bool> dense_layers(const hf::Config& c, Dense which, std::int64_t layers) {
  std::vector<bool> dense(static_cast<std::size_t>(layers));
  const auto each = [&](const auto& is_dense) {
    for (std::int64_t i = 0; i < layers; ++i) dense[static_cast<std::size_t>(i)] = is_dense(i);
  };
  if (which == Dense::listed) {
    const std::int64_t step = c.integer_or({"decoder_sparse_step"}, 1, 1, kMaxWidth);
    const std::vector<std::int64_t> listed = c.integers({"mlp_only_layers"}, 0, kMaxWidth);
    each([&](std::int64_t i) { return (i + 1) % step != 0 || std::ranges::find(listed, i) != listed.end(); });
  }
  if (which == Dense::first) {
    const std::int64_t first = c.integer_or({"first_k_dense_replace"}, 1, 0, kMaxWidth);
    each([&](std::int64_t i) { return i < first; });
    const std::vector<std::string> types = c.texts({"mlp_layer_types"});
    if (types.empty()) return dense;
    const bool known = std::ranges::all_of(types, [](const auto& t) { return t == "dense" || t == "sparse"; });
    if (!known || std::ssize(types) != layers) {
      c.unsupported("mlp_layer_types", fmt::format("{} entries, \"dense\" or \"sparse\"", layers));
    }
    each([&](std::int64_t i) { return types[static_cast<std::size_t>(i)] == "dense"; });
  }
  if (which == Dense::interval) {
    const std::int64_t interval = c.integer_or({"moe_layer_interval"}, 1, 1, kMaxWidth);
    const std::int64_t start = c.integer_or({"moe_layer_start_index"}, 1, 0, kMaxWidth);
    std::int64_t end = c.integer_or({"moe_layer_end_index"}, -1, -1, kMaxWidth);
    if (end == -1) end = layers - 1;
    each([&](std::int64_t i) { return (i + 1) % interval != 0 || i < start || i > end; });
  }
  return dense;
}

// How many experts a row meets, by layer: one number, or a list.
std::vector<std::int64_t> chosen_by_layer(const hf::Config& c, const ExpertKeys& k, std::int64_t experts,
                                          std::int64_t layers) {
  const Json* value = c.value({k.chosen});
  if (value == nullptr || !value->is_array()) {
    const std::int64_t chosen = c.integer_or({k.chosen, k.other_chosen}, k.chosen_absent, 1, kMaxWidth);
    if (chosen > experts) c.unsupported(k.chosen, fmt::format("at most the number of experts, {}", experts));
    return std::vector<std::int64_t>(static_cast<std::size_t>(layers), chosen);
  }
  std::vector<std::int64_t> listed = c.integers({k.chosen}, 1, experts);
  if (std::ssize(listed) < layers) c.unsupported(k.chosen, fmt::format("{} entries", layers));
  listed.resize(static_cast<std::size_t>(layers));
  return listed;
}

void read_groups(const hf::Config& c, MixturePlan& plan) {
  kernels::Routing& r = plan.routing;
  r.groups = c.integer_or({"n_group"}, 1, 1, kMaxWidth);
  r.groups_kept = c.integer_or({"topk_group"}, 1, 1, kMaxWidth);
  if (plan.experts % r.groups != 0 || (r.groups > 1 && plan.experts / r.groups < 2)) {
    c.unsupported("n_group",
                  fmt::format("groups of as many experts each, of the {}, and of two at least", plan.experts));
  }
  if (r.groups_kept > r.groups) c.unsupported("topk_group", fmt::format("at most n_group, {}", r.groups));
  const std::int64_t seen = plan.experts / r.groups * r.groups_kept;
  if (std::ranges::max(plan.chosen) > seen) c.unsupported("topk_group", fmt::format("more: {} experts are left", seen));
}

}  // namespace

std::string MixturePlan::describe() const {
  if (experts == 0) return {};
  std::int64_t most = 0, least = experts, mixed = 0;
  for (const std::int64_t n : chosen) {
    if (n == 0) continue;
    most = std::max(most, n), least = std::min(least, n), ++mixed;
  }
  if (mixed == 0) return {};
  std::string text = least == most ? fmt::format("{} of {} experts", most, experts)
                                   : fmt::format("{} to {} of {} experts", least, most, experts);
  if (shared > 0) text += " and a shared one";
  if (mixed < std::ssize(chosen)) text += fmt::format(" in {} of {} layers", mixed, chosen.size());
  return text;
}

MixturePlan read_plan(const hf::Config& c, const Row& row, const Card& card, kernels::Act act) {
  const ExpertKeys& k = row.experts.keys;
  MixturePlan plan;
  if (k.count.empty()) return plan;
  plan.experts = c.integer_or({k.count, k.other_count}, k.count_absent, 1, kMaxWidth);
  plan.chosen = chosen_by_layer(c, k, plan.experts, card.layers);
  plan.inner = k.inner == "intermediate_size" ? card.inner : c.integer_or({k.inner}, k.inner_absent, 1, kMaxWidth);
  if (!k.shared.empty()) plan.shared = c.integer_or({k.shared}, k.shared_absent, 0, kMaxWidth) * plan.inner;
  if (k.shared_inner == "intermediate_size") {
    plan.shared = card.inner;
  } else if (!k.shared_inner.empty()) {
    plan.shared = c.integer_or({k.shared_inner}, k.shared_absent, 1, kMaxWidth);
  }
  kernels::Routing& r = plan.routing;
  const Flag& normalised = row.experts.normalised;
  r.by = row.experts.by;
  r.normalised = normalised.key.empty() ? normalised.absent : c.flag_or({normalised.key}, normalised.absent);
  r.more = row.experts.more;
  if (!k.least.empty()) r.least = static_cast<float>(c.number_or({k.least}, k.least_absent));
  if (!k.tolerance.empty()) r.tolerance = static_cast<float>(2 * c.number_or({k.tolerance}, k.tolerance_absent));
  if (r.by == kernels::Routing::By::sparse_mixer && std::ranges::max(plan.chosen) != 2) c.unsupported(k.chosen, "2");
  if (row.experts.grouped) {
    read_groups(c, plan);
    r.factor = static_cast<float>(c.number_or({"routed_scaling_factor"}, k.factor_absent));
  }
  plan.act = act;
  if (row.experts.alternate) {
    const double limit = c.number_or({"swiglu_limit"}, 7);
    if (!(limit > 0)) c.unsupported("swiglu_limit", "a positive number");
    if (c.number_or({"swiglu_alpha"}, 1.702) != 1.702) c.unsupported("swiglu_alpha", "1.702");
    plan.limit = static_cast<float>(limit);
    plan.act = kernels::Act::quick_gelu;  // whatever hidden_act says, as in transformers
  }
  const std::vector<bool> dense = dense_layers(c, row.experts.dense, card.layers);
  for (std::size_t i = 0; i < dense.size(); ++i) {
    if (dense[i]) plan.chosen[i] = 0;
  }
  return plan;
}

Mixture read_mixture(Reader& in, const Row& row, const Card& card, const MixturePlan& plan, std::int64_t i,
                     const std::string& at, bool shared_bias) {
  const ExpertNames& n = row.experts.names;
  Mixture m{.router = {}, .routing = plan.routing, .chosen = plan.chosen[static_cast<std::size_t>(i)], .down = {}};
  m.act = plan.act, m.limit = plan.limit;
  const bool biased = row.experts.alternate;

  std::string mine = at + std::string(n.at), router = mine + std::string(n.router);
  for (const std::string_view path : {n.other_at, n.at}) {
    for (const std::string_view name : {n.other_router, n.router}) {
      const std::string candidate = fmt::format("{}{}{}", at, path, name);
      if (in.has(candidate + ".weight")) mine = at + std::string(path), router = candidate;
    }
  }
  m.router = in.unquantised(router, plan.experts, card.hidden, biased);
  if (!n.bias.empty()) {
    const std::string other = mine + std::string(n.other_bias);
    const std::string bias = !n.other_bias.empty() && in.has(other) ? other : mine + std::string(n.bias);
    m.bias = n.bias_is_row ? in.table_of_vectors(bias, 1, plan.experts) : in.vector(bias, plan.experts);
    if (m.bias) m.bias = View(m.bias.data, DType::f32, {plan.experts});
  }

  const Reader::Crowd wide{plan.experts, m.chosen, plan.inner, card.hidden};
  const Reader::Crowd both{plan.experts, m.chosen, 2 * plan.inner, card.hidden};
  const Reader::Crowd narrow{plan.experts, m.chosen, card.hidden, plan.inner};
  const auto either = [&](std::string_view name, const char* other) {
    const std::string now = mine + other;
    return in.has(now) || in.has(now + "_blocks") ? now : mine + std::string(name);
  };
  const auto biased_too = [&](Experts experts, const std::string& name, const Reader::Crowd& crowd) {
    if (biased) experts.first.bias = in.table_of_vectors(name + "_bias", crowd.count, crowd.out);
    return experts;
  };
  const std::string gate_up = either(n.gate_up, "experts.gate_up_proj");
  if (in.has(mine + "experts.gate_proj")) {  // as GGUF has them: three tensors of all
    const auto all = [&](const char* name, const Reader::Crowd& crowd) {
      return biased_too(in.experts(mine + name, crowd), mine + name, crowd);
    };
    m.gate = all("experts.gate_proj", wide);
    m.up = all("experts.up_proj", wide);
    m.down = all("experts.down_proj", narrow);
  } else if (in.has(gate_up) || in.has(gate_up + "_blocks") || n.gate.empty()) {
    const std::string down = either(n.down_all, "experts.down_proj");
    m.gate_up = biased_too(in.experts(gate_up, both, biased), gate_up, both);
    m.down = biased_too(in.experts(down, narrow, biased), down, narrow);
    m.neighbours = row.experts.alternate;
  } else {
    const auto apart = [&](std::string_view name, const Reader::Crowd& crowd) {
      return in.experts(mine + "experts.", fmt::format(".{}.weight", name), crowd);
    };
    m.gate = apart(n.gate, wide);
    m.up = apart(n.up, wide);
    m.down = apart(n.down, narrow);
  }

  if (plan.shared == 0) return m;
  const auto shared = [&](const char* name, std::int64_t out, std::int64_t inner) {
    return in.linear(fmt::format("{}{}.{}", mine, n.shared, name), out, inner, shared_bias);
  };
  m.shared = Mlp{.up = shared("up_proj", plan.shared, card.hidden),
                 .down = shared("down_proj", card.hidden, plan.shared),
                 .gate = shared("gate_proj", plan.shared, card.hidden),
                 .act = plan.act};
  if (!n.shared_gate.empty()) m.shared_gate = in.unquantised(mine + std::string(n.shared_gate), 1, card.hidden);
  return m;
}

}  // namespace pkv::model::arch

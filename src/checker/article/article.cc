#include "checker/article/article.h"

#include <algorithm>
#include <cmath>

#include "checker/causes/causes.h"

namespace pkv::article {
namespace {

using Conclusion = PublishedRun::Conclusion;

constexpr std::string_view kConv1d =
    "4 bits were asked for; the library of that month left Conv1D layers, which are all that GPT-2 has, in fp16";
constexpr std::string_view kOutliers =
    "Here each row has its own outlier columns, in both; the library of that month took those of the whole call";

// Shapes: the models' published configurations.
constexpr PublishedModel kGpt2{"gpt2", "GPT-2", "tiny-gpt2", 12, 3072, 768, 50257};
constexpr PublishedModel kRoberta{"roberta", "RoBERTa", "tiny-roberta", 12, 3072, 768, 50265};
constexpr PublishedModel kMpt{"mpt", "MPT", "tiny-mpt", 32, 16384, 4096, 50432};
constexpr PublishedModel kFalcon{"falcon", "Falcon", "tiny-falcon", 32, 18176, 4544, 65024};

// Source: the post's tables.
constexpr PublishedRun kRuns[] = {
    {"GPT-2",
     &kGpt2,
     "fp32",
     "",
     Conclusion::can,
     {-120.728113, -120.728128, 0.000015, 0.000053, 4.971110e-07, 3.248003, -137.848907, -107.432274}},
    {"RoBERTa base",
     &kRoberta,
     "fp32",
     "",
     Conclusion::none,
     {-3.229857, -3.045575, 0.820397, 4.705049, 0.206613, 2.762300, -13.632034, 22.772289}},
    {"GPT-2 \"4-bit\"",
     &kGpt2,
     "fp4",
     kConv1d,
     Conclusion::can,
     {-120.754618, -120.768101, 0.013483, 0.125000, 0.001163, 3.247413, -137.875000, -107.437500}},
    {"MPT-7B 4-bit",
     &kMpt,
     "fp4",
     "",
     Conclusion::cannot,
     {40.278929, 31.707907, 8.587784, 19.156250, 0.335706, 8.868180, -1.125000, 57.062500}},
    {"MPT-7B 8-bit",
     &kMpt,
     "int8",
     kOutliers,
     Conclusion::cannot,
     {40.496577, 29.884832, 10.619180, 19.765625, 0.340603, 9.041705, -1.349609, 58.031250}},
    {"Falcon-7B 4-bit",
     &kFalcon,
     "fp4",
     "",
     Conclusion::cannot,
     {-14.261603, -9.267643, 5.104978, 17.265625, 12.294854, 2.733929, -26.296875, 1.404297}},
    {"Falcon-7B 8-bit",
     &kFalcon,
     "int8",
     kOutliers,
     Conclusion::cannot,
     {-14.041440, -12.929303, 2.086437, 12.265625, 10.388751, 2.699918, -26.218750, 1.180664}},
};

}  // namespace

std::span<const PublishedRun> published_runs() { return kRuns; }

Figures figures_of(const check::Table& t) {
  return {t.without_past.mean, t.with_past.mean,   t.absolute.mean,    t.absolute.max,
          t.relative.max,      t.without_past.std, t.without_past.min, t.without_past.max};
}

check::Bound published_bound(const PublishedRun& run) {
  session::Description d;
  d.layers = run.model->layers;
  d.width = run.model->inner;
  d.values_format = run.load_in == "fp32" ? "fp32" : "fp16";  // what was not quantised was fp16
  return check::rounding_bound(d, std::max(std::abs(run.figures.min_without), std::abs(run.figures.max_without)));
}

std::string what_happened(const RetoldRun& run) {
  if (run.then.verdict.holds()) return "nothing wrong";
  const bool known = !run.then.causes.empty() && run.then.causes.front().confirmed;
  return known ? run.then.causes.front().cause : "unknown";
}

bool explained(const RetoldRun& run) {
  return what_happened(run) != "unknown" &&
         (run.now.verdict.holds() || confirmed(run.now, check::CauseId::attends_both_ways));
}

}  // namespace pkv::article

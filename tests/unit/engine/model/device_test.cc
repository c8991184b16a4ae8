// What the engine asks of a table that works in memory of its own, as a device does (support/far_table.h): everything
// goes through the table's verbs, passes can be replayed, failures surface, and what was placed is released.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"
#include "engine/model/write_checkpoint.h"
#include "support/far_table.h"
#include "support/models.h"
#include "support/shell.h"

namespace pkv::model {
namespace {

using support::FarDevice;
using testing::AllOf;
using testing::HasSubstr;
using Ids = std::vector<std::int32_t>;

constexpr const char* kBundled[] = {"tiny-gpt2", "tiny-roberta", "tiny-mpt", "tiny-falcon"};

std::filesystem::path bundled(const std::string& name) { return support::source() / "models" / name; }

struct Far {
  explicit Far(const std::filesystem::path& folder, const LoadOptions& options = {})
      : model(load(hf::Folder::open(folder), backend, options)) {}
  FarDevice& device() { return support::far::of(backend.device()); }

  kernels::Backend backend{support::far::ops()};
  Model model;
};

// A prompt, tokens one by one past the end of a block, a fork that goes another way, and a step back.
std::vector<float> logits_of(const Model& m) {
  const Ids ids = support::random_ids(3, 90, m.card().vocab);
  std::vector<float> all;
  const auto feed = [&](Past& past, std::size_t from, std::size_t count) {
    const auto logits = support::feed(m, past, std::span(ids).subspan(from, count));
    all.insert(all.end(), logits.begin(), logits.end());
  };
  Past past = m.new_past();
  feed(past, 0, 58);
  for (std::size_t i = 58; i < 70; ++i) feed(past, i, 1);
  Past other = past.fork();
  feed(other, 75, 5);
  other.truncate(66);
  feed(other, 80, 4);
  const PastCopy snapshot = other.copy_out();
  all.insert(all.end(), snapshot.keys.begin(), snapshot.keys.end());
  const Feed both[] = {{.ids = std::span(ids).subspan(70, 2), .past = &past},
                       {.ids = std::span(ids).subspan(84, 1), .past = &other}};
  const Logits logits = m.forward(both, Want::last);
  all.insert(all.end(), logits.span<float>().begin(), logits.span<float>().end());
  return all;
}

void expect_as_naive(const std::string& name, const LoadOptions& options) {
  Far far(bundled(name), options);
  const Model naive = support::load(bundled(name), "naive", 2, options);
  EXPECT_EQ(logits_of(far.model), logits_of(naive)) << name;
  EXPECT_GT(far.device().replays, 0) << name;
  EXPECT_THAT(far.device().wrong, testing::IsEmpty()) << name;
}

TEST(FarTable, ComputesWhatNaiveComputes) {
  for (const char* name : kBundled) expect_as_naive(name, {});
}

TEST(FarTable, TakesEveryNumberFormat) {
  expect_as_naive("tiny-gpt2", {.dtype = DType::f16, .past_dtype = DType::bf16});
  for (const quant::Format format : {quant::Format::int8, quant::Format::nf4}) {
    expect_as_naive("tiny-gpt2", {.quantize = Quantize{.format = format}});
  }
}

TEST(FarTable, WhatWasPlacedToBeConvertedIsReleased) {
  Far far(bundled("tiny-gpt2"), {.dtype = DType::f16});
  // What is left are the matrices, once each, and vectors: norms and biases.
  EXPECT_LT(far.device().in_use, far.model.weights().bytes * 11 / 10);
  EXPECT_GE(far.device().in_use, far.model.weights().bytes);
}

TEST(FarTable, NothingIsLeftOfAModel) {
  const kernels::Backend backend(support::far::ops());
  {
    const Model m = load(hf::Folder::open(bundled("tiny-falcon")), backend, {.dtype = DType::bf16});
    logits_of(m);
  }
  EXPECT_EQ(support::far::of(backend.device()).in_use, 0u);
}

TEST(FarTable, WhatADevicePackedIsNotWritten) {
  const Far far(bundled("tiny-gpt2"), {.quantize = Quantize{.format = quant::Format::nf4}});
  const support::TemporaryFolder folder;
  try {
    write_checkpoint(far.model, folder.path() / "written");
    FAIL() << "codes in the device's order were written as they lay";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("backend far"), HasSubstr("--backend cpu")));
  }
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "written"));
}

TEST(FarTable, AFailureSurfacesOnceAndThePastStays) {
  Far far(bundled("tiny-mpt"));
  const Ids ids = support::random_ids(5, 20, far.model.card().vocab);
  Past past = far.model.new_past(), right = far.model.new_past();
  support::feed(far.model, past, ids);
  support::feed(far.model, right, ids);
  for (const int operation : {1, 7, 20}) {
    far.device().fail_in = operation;
    try {
      support::feed(far.model, past, std::span(ids).first(3));
      FAIL() << "operation " << operation << " failed and nobody said so";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), Error::Kind::load);
      EXPECT_THAT(e.what(), AllOf(HasSubstr("the device failed"), HasSubstr("an operation went wrong")));
    }
    EXPECT_EQ(past.length(), 20);
  }
  EXPECT_EQ(support::feed(far.model, past, std::span(ids).first(3)),
            support::feed(far.model, right, std::span(ids).first(3)));
}

#ifndef NDEBUG
TEST(FarTable, AViewOfAnotherDeviceIsRefused) {
  const kernels::Backend one(support::far::ops()), two(support::far::ops()), host("cpu", 1);
  const kernels::Memory here(one, 64), there(two, 64);
  std::vector<float> mine(16);
  const auto norm = [](const kernels::Backend& backend, const void* x, const void* out) {
    const auto view = [](const void* p) { return View(p, DType::f32, {1, 16}); };
    const View weight(x, DType::f32, {16});
    kernels::call(backend, &kernels::Ops::norm, {.x = view(x), .weight = weight, .out = view(out)});
  };
  const auto refusal = [&](const kernels::Backend& backend, const void* x, const void* out) -> std::string {
    try {
      norm(backend, x, out);
      return "nothing refused";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), Error::Kind::internal);
      return e.what();
    }
  };
  EXPECT_EQ(refusal(one, here.data(), here.data()), "nothing refused");
  EXPECT_THAT(refusal(one, here.data(), there.data()),
              AllOf(HasSubstr("memory that is not the device's"), HasSubstr("a view of shape [1, 16]"),
                    HasSubstr("found:    memory of far")));
  EXPECT_THAT(refusal(one, mine.data(), here.data()), HasSubstr("found:    memory of the host"));
  EXPECT_THAT(refusal(host, here.data(), mine.data()), HasSubstr("expected: memory of cpu"));
  EXPECT_EQ(refusal(host, mine.data(), mine.data()), "nothing refused");
}
#endif

}  // namespace
}  // namespace pkv::model

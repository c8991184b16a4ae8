// What a saved past is refused for, and how it is written. That it continues with the same bits: tests/properties.
#include "engine/model/past_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <xxhash.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "engine/model/past_identity.h"
#include "support/models.h"

namespace pkv::model {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

std::string error_of(const auto& body, Error::Kind kind = Error::Kind::load) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind) << e.what();
    return e.what();
  }
  return "no error";
}

// Without FileWriter's wait for the disk.
void put(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

class PastFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    file_ = folder_ / "past.safetensors";
  }
  void TearDown() override { fs::remove_all(folder_); }

  static Model load(const std::string& name, const LoadOptions& options = {}, const char* table = "cpu") {
    return support::load(support::source() / "models" / name, table, 1, options);
  }
  // A copy of a bundled model in `folder_`, one of its files changed.
  Model changed(const std::string& name, const std::string& file, const auto& change) {
    const fs::path copy = folder_ / name;
    fs::copy(support::source() / "models" / name, copy);
    std::string text = read_file(copy / file, UINT64_MAX);
    change(text);
    write_file(copy / file, text);
    return support::load(copy, "cpu", 1);
  }
  void save(const Model& m, std::int64_t tokens = 70) {
    Past past = m.new_past();
    ids_ = support::random_ids(3, tokens + 10, m.card().vocab);
    support::feed(m, past, std::span(ids_).first(static_cast<std::size_t>(tokens)));
    save_past(file_, m, past);
  }
  std::string refusal(const Model& m) const {
    return error_of([&] { restore_past(file_, m, ids_); });
  }

  fs::path folder_, file_;
  std::vector<std::int32_t> ids_;
};

TEST_F(PastFile, HoldsWhatThePastHolds) {
  const Model m = load("tiny-falcon", {.past_dtype = DType::f16});
  save(m);
  const SavedPast saved = open_past(file_);
  EXPECT_EQ(saved.model, "tiny-falcon");
  EXPECT_EQ(saved.shape, m.new_past().shape());
  EXPECT_TRUE(std::equal(saved.ids.begin(), saved.ids.end(), ids_.begin()));
  EXPECT_EQ(saved.ids.size(), 70u);
  EXPECT_EQ(saved.checksums.size(), 2u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(saved.blocks.data()) % 4096, 0u);
  EXPECT_EQ(saved.identity.past_dtype, "fp16");
  verify_blocks(saved, 70);
  const Past past = restore_past(file_, m, ids_).past;
  Past fed = m.new_past();
  support::feed(m, fed, std::span(ids_).first(70));
  EXPECT_EQ(past.copy_out().keys, fed.copy_out().keys);
  EXPECT_EQ(past.copy_out().values, fed.copy_out().values);
}

TEST_F(PastFile, NamesAModelOfTheHubAsTheHubDoes) {
  const fs::path snapshot = folder_ / "models--org--name" / "snapshots" / "0123456789abcdef0123456789abcdef01234567";
  fs::create_directories(snapshot.parent_path());
  fs::copy(support::source() / "models" / "tiny-gpt2", snapshot);
  save(support::load(snapshot, "cpu", 1), 3);
  EXPECT_EQ(open_past(file_).model, "org/name");
}

TEST_F(PastFile, NothingIsLeftWhenSavingIsStoppedAtAnyPoint) {
  const Model m = load("tiny-gpt2");
  Past past = m.new_past();
  support::feed(m, past, support::random_ids(3, 70, m.card().vocab));
  std::vector<std::int64_t> told;
  const auto save = [&](std::size_t calls) {
    told.clear();
    const auto progress = [&](std::int64_t done, std::int64_t total) {
      EXPECT_LE(done, total);
      told.push_back(done);
      if (told.size() == calls) throw std::runtime_error("stop");
    };
    save_past(file_, m, past, {.progress = progress});
  };
  save(SIZE_MAX);
  const std::vector<std::int64_t> all = told;
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  EXPECT_GE(all.size(), 3u) << "weights, then each of two blocks";
  for (std::size_t calls = 1; calls <= all.size(); ++calls) {
    fs::remove(file_);
    EXPECT_THROW(save(calls), std::runtime_error) << calls;
    EXPECT_TRUE(fs::is_empty(folder_)) << calls << ": something was left";
  }
}

// As docs/pasts.md defines it, by an implementation of its own.
std::string header_checksum(const std::map<std::string, std::string>& metadata, const containers::SafeTensors& file) {
  std::string all;
  for (const auto& [key, value] : metadata) {
    if (key != "checksum") all += key + '\0' + value + '\0';
  }
  for (const char* name : {"ids", "checksums"}) {
    const auto data = file.get(name).data;
    all.append(reinterpret_cast<const char*>(data.data()), data.size());
  }
  return fmt::format("{:016x}", XXH3_64bits(all.data(), all.size()));
}

// The file with other metadata and the checksum that goes with them.
void rewrite(const fs::path& path, const std::string& key, const std::string& value) {
  const containers::SafeTensors file = containers::SafeTensors::open(path);
  EXPECT_EQ(file.metadata().at("checksum"), header_checksum(file.metadata(), file));
  auto metadata = file.metadata();
  metadata[key] = value;
  metadata["checksum"] = header_checksum(metadata, file);
  std::vector<containers::Planned> tensors;
  for (const containers::Tensor& t : file.tensors()) {
    const auto write = [data = t.data](const containers::Sink& sink) { sink(data); };
    tensors.push_back({.name = t.name, .dtype = t.dtype, .shape = t.shape, .write = write});
  }
  containers::stream_safetensors(path, tensors, metadata, {.align_last = 4096});
}

TEST_F(PastFile, AnotherVersionOfTheArithmeticIsRefused) {
  const Model m = load("tiny-gpt2");
  save(m);
  rewrite(file_, "numerics", "0, abc");
  EXPECT_THAT(refusal(m), AllOf(HasSubstr("another version of the arithmetic"), HasSubstr("found:    0, abc")));
  save(m);
  rewrite(file_, "schema", "pkv-past/3");
  EXPECT_THAT(refusal(m), AllOf(HasSubstr("expected: pkv-past/1 or pkv-past/2"), HasSubstr("found:    pkv-past/3")));
  save(m);
  rewrite(file_, "schema", "pkv-past/2");
  EXPECT_THAT(refusal(m), HasSubstr("metadata 'snapshots' is missing"));
  save(m);
  rewrite(file_, "layers", "99999999999999999999");
  EXPECT_THAT(refusal(m), HasSubstr("metadata 'layers' is no size"));
  save(m);
  rewrite(file_, "window", "16");
  EXPECT_THAT(refusal(m), HasSubstr("not a saved past of this version: metadata 'window' is not known"));
}

// A past that pkv saved before its files named operations, with `naive` on falcon-sequential-rotary and these ids.
TEST_F(PastFile, OldFilesOfUnchangedArithmeticStayValid) {
  const Model m = support::load(support::golden_data() / "falcon-sequential-rotary", "naive", 1);
  const std::vector<std::int32_t> ids{3, 1, 4, 1, 5, 9, 2, 6, 5};
  const fs::path old = support::source() / "tests/unit/engine/model/data/past_of_version_1.safetensors";
  EXPECT_THAT(operation_names(open_past(old).identity), testing::IsEmpty());
  Past restored = restore_past(old, m, ids).past, fed = m.new_past();
  EXPECT_EQ(restored.length(), 8);
  support::feed(m, fed, std::span(ids).first(8));
  EXPECT_EQ(restored.copy_out().keys, fed.copy_out().keys);
  EXPECT_EQ(restored.copy_out().values, fed.copy_out().values);
}

TEST_F(PastFile, SaysWhichOperationsItDependsOn) {
  const auto operations = [&](const Model& m) {
    save(m, 3);
    return operation_names(open_past(file_).identity);
  };
  EXPECT_THAT(operations(load("tiny-gpt2")),
              testing::ElementsAre("act gelu_new", "attend fp32", "linear fp32", "norm"));
  EXPECT_THAT(operations(load("tiny-falcon", {.past_dtype = DType::bf16})),
              testing::ElementsAre("act gelu", "attend bf16", "linear fp32", "norm", "rotary"));
  EXPECT_THAT(operations(load("tiny-mpt", {.dtype = DType::f16, .quantize = Quantize{.format = quant::Format::nf4}})),
              testing::ElementsAre("act gelu", "attend fp16", "linear fp16", "linear nf4", "norm"));
}

// What a past that was saved with one arithmetic says to another.
class Arithmetic : public testing::Test {
 protected:
  static PastIdentity identity(const kernels::Numerics& n) {
    return {.numerics = numerics_text(n), .operations = operations_text(n, {"attend fp16", "norm"})};
  }
  static PastIdentity old_identity(const kernels::Numerics& n) { return {.numerics = numerics_text(n)}; }
  static kernels::Numerics changed(kernels::Numerics n, const std::string& name) {
    std::ranges::find(n.operations, name, &kernels::ProbedOperation::name)->results[0] += 1;
    return n;
  }
  const kernels::Numerics ours_ = kernels::probe_numerics(kernels::Backend("naive", 1));
};

TEST_F(Arithmetic, AnAddedOperationRefusesNothing) {
  kernels::Numerics more = ours_;
  more.operations.push_back({.name = "gate", .results = {1, 2}});
  EXPECT_FALSE(differing_arithmetic(identity(more), identity(ours_)));
  EXPECT_FALSE(differing_arithmetic(identity(more), old_identity(ours_)));
}

TEST_F(Arithmetic, AnOperationThatChangedItsBitsRefusesPastsThatUseIt) {
  const auto differing = differing_arithmetic(identity(changed(ours_, "norm")), identity(ours_));
  ASSERT_TRUE(differing);
  EXPECT_THAT(differing->ours, testing::StartsWith("norm "));
  EXPECT_THAT(differing->theirs, testing::StartsWith("norm "));
  EXPECT_NE(differing->ours, differing->theirs);
  EXPECT_FALSE(differing_arithmetic(identity(changed(ours_, "rotary")), identity(ours_)));
}

TEST_F(Arithmetic, OldPastsDependOnAllThatThereWas) {
  EXPECT_FALSE(differing_arithmetic(identity(ours_), old_identity(ours_)));
  EXPECT_TRUE(differing_arithmetic(identity(changed(ours_, "rotary")), old_identity(ours_)));
}

TEST_F(Arithmetic, AnotherVersionRefusesAll) {
  PastIdentity other = identity(ours_);
  other.numerics[0] = '0';
  EXPECT_TRUE(differing_arithmetic(identity(ours_), other));
}

// Whatever a page asks for has a probe, or its pasts could not be saved.
TEST_F(Arithmetic, EveryModelUsesProbedOperations) {
  for (const fs::path& folder : support::model_folders(support::golden_data())) {
    const Model m = support::load(folder, "naive", 1);
    EXPECT_NO_THROW(operations_text(ours_, m.operations())) << folder;
  }
}

TEST_F(PastFile, OtherWeightsOfTheSameShapeAreRefused) {
  const Model m = load("tiny-gpt2");
  save(m);
  const Model other = changed("tiny-gpt2", "model.safetensors", [](std::string& s) { s[s.size() - 1000] ^= 1; });
  EXPECT_THAT(refusal(other), AllOf(HasSubstr("other weights"), HasSubstr("expected: "), HasSubstr("found:    ")));
}

TEST_F(PastFile, TheSameWeightsInAnotherFolderFit) {
  const Model m = load("tiny-gpt2");
  save(m);
  const Model copy = changed("tiny-gpt2", "training.json", [](std::string&) {});
  EXPECT_EQ(restore_past(file_, copy, ids_).past.length(), 70);
}

TEST_F(PastFile, OtherConfigsNameTheKey) {
  const Model m = load("tiny-gpt2");
  save(m);
  const Model other = changed("tiny-gpt2", "config.json",
                              [](std::string& s) { s.insert(s.find('{') + 1, "\"attn_pdrop_of_mine\": 0.25,"); });
  EXPECT_THAT(refusal(other), AllOf(HasSubstr("another config"), HasSubstr("expected: attn_pdrop_of_mine: 0.25"),
                                    HasSubstr("found:    attn_pdrop_of_mine missing")));
  EXPECT_THAT(refusal(load("tiny-falcon")), HasSubstr("another config"));
}

TEST_F(PastFile, OtherTokenizersAreRefused) {
  const Model m = load("tiny-gpt2");
  save(m);
  const Model other = changed("tiny-gpt2", "tokenizer.json", [](std::string& s) { s += "\n"; });
  EXPECT_THAT(refusal(other), HasSubstr("another tokenizer"));
}

TEST_F(PastFile, OtherFormatsAndBackendsNameBoth) {
  save(load("tiny-gpt2"));
  EXPECT_THAT(refusal(load("tiny-gpt2", {.dtype = DType::f16, .past_dtype = DType::f32})),
              AllOf(HasSubstr("expected: fp16"), HasSubstr("found:    fp32")));
  EXPECT_THAT(refusal(load("tiny-gpt2", {.past_dtype = DType::bf16})),
              AllOf(HasSubstr("another number format"), HasSubstr("expected: bf16"), HasSubstr("--past-dtype fp32")));
  EXPECT_THAT(refusal(load("tiny-gpt2", {}, "naive")),
              AllOf(HasSubstr("expected: naive"), HasSubstr("found:    cpu (")));
  EXPECT_EQ(restore_past(file_, load("tiny-gpt2", {.dtype = DType::f32}), ids_).common, 70);  // what is stored anyway
  const auto nf4 = [](std::int64_t block, bool nested, std::vector<std::string> skip = {}) {
    return LoadOptions{.quantize = Quantize{.block = block, .nested = nested, .skip = std::move(skip)}};
  };
  save(load("tiny-gpt2", nf4(64, false)));
  for (const LoadOptions& other : {nf4(128, false), nf4(64, true), nf4(64, false, {"h.0"})}) {
    EXPECT_THAT(refusal(load("tiny-gpt2", other)),
                AllOf(HasSubstr("another format"), HasSubstr("found:    nf4 in blocks of 64, the rest fp32\n")));
  }
  const auto int8 = [](float threshold) {
    return LoadOptions{.quantize = Quantize{.format = quant::Format::int8}, .int8_threshold = threshold};
  };
  save(load("tiny-gpt2", int8(6)));
  EXPECT_THAT(refusal(load("tiny-gpt2", int8(5))), AllOf(HasSubstr("outliers from 5"), HasSubstr("outliers from 6")));
}

TEST_F(PastFile, PromptsThatPartUseTheirBeginning) {
  const Model m = load("tiny-gpt2");
  save(m);
  ids_[66] ^= 1;
  const Restored parted = restore_past(file_, m, ids_);
  EXPECT_EQ(parted.saved, 70);
  EXPECT_EQ(parted.common, 66);
  EXPECT_EQ(parted.past.length(), 66);
  ids_.resize(64);
  const Restored contained = restore_past(file_, m, ids_);
  EXPECT_EQ(contained.common, 64);
  EXPECT_EQ(contained.past.length(), 63);  // the last token is to be fed
  ids_[0] ^= 1;
  EXPECT_THAT(refusal(m), HasSubstr("another text"));
  ids_.clear();
  EXPECT_THAT(error_of([&] { restore_past(file_, m, ids_); }, Error::Kind::usage), HasSubstr("no tokens"));
}

TEST_F(PastFile, WhatCannotBeSaved) {
  const Model m = load("tiny-gpt2");
  EXPECT_THAT(error_of([&] { save_past(file_, m, m.new_past()); }, Error::Kind::usage), HasSubstr("an empty past"));
  const Model roberta = load("tiny-roberta");
  EXPECT_THAT(error_of([&] { save(roberta); }, Error::Kind::usage), HasSubstr("attends both ways"));
  const Model call =
      load("tiny-gpt2", {.quantize = Quantize{.format = quant::Format::int8}, .int8_outliers_of_call = true});
  EXPECT_THAT(error_of([&] { save(call); }, Error::Kind::usage), HasSubstr("what else is in a call"));
  EXPECT_FALSE(fs::exists(file_));
}

TEST_F(PastFile, FlippedBitsAreRefused) {
  const Model m = load("tiny-falcon", {.past_dtype = DType::f16});
  save(m);
  const std::string whole = read_file(file_, UINT64_MAX);
  for (std::uint64_t i = 0; i < 400; ++i) {
    // Every other one in the header, the ids and the checksums.
    const std::size_t among = i % 2 == 0 ? whole.size() : 8192;
    const std::uint64_t bit = random_bits(11, i) % (8 * among);
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    put(file_, flipped);
    EXPECT_NE(refusal(m), "no error") << "bit " << bit % 8 << " of byte " << bit / 8;
  }
  std::string flipped = whole;
  flipped[whole.size() - 1] ^= 1;
  put(file_, flipped);
  EXPECT_THAT(refusal(m), AllOf(HasSubstr("is damaged"), HasSubstr("block 1 (tokens 64 to 69)")));
  EXPECT_EQ(restore_past(file_, m, ids_, {.verify_blocks = false}).common, 70);
}

TEST_F(PastFile, TruncatedFilesAreRefused) {
  const Model m = load("tiny-falcon", {.past_dtype = DType::f16});
  save(m);
  const std::string whole = read_file(file_, UINT64_MAX);
  for (std::uint64_t i = 0; i < 40; ++i) {
    put(file_, whole.substr(0, random_bits(13, i) % whole.size()));
    EXPECT_NE(refusal(m), "no error");
  }
  put(file_, whole + "x");
  EXPECT_THAT(refusal(m), HasSubstr("do not cover the file"));
  fs::remove(file_);
  EXPECT_THAT(refusal(m), HasSubstr("cannot open"));
}

TEST_F(PastFile, OnlyTheOwnerMayRead) {
  write_file(file_, "there before");
  fs::permissions(file_, fs::perms::all);
  const mode_t mask = ::umask(0);
  save(load("tiny-falcon"));
  ::umask(mask);
  EXPECT_EQ(fs::status(file_).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

// A disk that is full: writing fails in the middle, the file that was there stays, nothing else is left behind.
TEST_F(PastFile, WritingThatFailsLeavesWhatWasThere) {
  const Model m = load("tiny-falcon");
  save(m, 10);
  const std::string before = read_file(file_, UINT64_MAX);
  const auto old = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{}, tight{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  tight = limit;
  tight.rlim_cur = 20'000;
  ::setrlimit(RLIMIT_FSIZE, &tight);
  const std::string error = error_of([&] { save(m); });
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, old);
  EXPECT_THAT(error, HasSubstr("cannot write: File too large"));
  EXPECT_TRUE(read_file(file_, UINT64_MAX) == before);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
  file_ = folder_ / "no" / "where";
  EXPECT_THAT(error_of([&] { save(m); }), HasSubstr("cannot write here: No such file or directory"));
}

// Weights are hashed again only when their files may have changed since.
TEST_F(PastFile, UnchangedWeightsAreNotHashedAgain) {
  const Model m = load("tiny-gpt2");
  int told = 0;
  PastFileOptions options{.progress = [&](std::int64_t, std::int64_t) { ++told; }};
  save(m);
  if (open_past(file_).weights_files.empty()) GTEST_SKIP() << "the models were written just now";
  restore_past(file_, m, ids_, options);
  EXPECT_EQ(told, 0);
  options.hash_weights = true;
  restore_past(file_, m, ids_, options);
  EXPECT_GT(told, 0);
  told = 0;
  const Model fresh = changed("tiny-gpt2", "training.json", [](std::string&) {});
  options.hash_weights = false;
  restore_past(file_, fresh, ids_, options);
  EXPECT_GT(told, 0);
}

}  // namespace
}  // namespace pkv::model

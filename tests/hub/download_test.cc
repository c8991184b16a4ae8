// A model of the Hub into the cache: what is fetched, what lies where afterwards.
#include <algorithm>

#include "hub/fixture.h"

namespace pkv::support {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class HubDownload : public HubTest {};

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

TEST_F(HubDownload, FetchesWhatAModelNeedsAndNothingElse) {
  server_.put("org/m", "main", kCommit, a_model());
  const hub::Plan plan = download("org/m");
  EXPECT_EQ(plan.commit, kCommit);
  EXPECT_EQ(plan.folder, repo("org--m") / "snapshots" / kCommit);
  EXPECT_THAT(names_in(plan.folder), ElementsAre("config.json", "model.safetensors", "tokenizer.json"));
  EXPECT_EQ(read(plan.folder / "model.safetensors"), a_model().at("model.safetensors").bytes);
  EXPECT_EQ(server_.count("GET", ".py") + server_.count("GET", ".bin") + server_.count("HEAD", ".py"), 0);
}

// As huggingface_hub lays it out: see its documentation, "How to manage the cache".
TEST_F(HubDownload, LaysTheCacheOutAsHuggingFaceHubDoes) {
  const ServedFiles files = a_model();
  server_.put("org/m", "main", kCommit, files);
  download("org/m");
  const std::string config = git_digest(files.at("config.json").bytes);
  const std::string weights = sha256_digest(files.at("model.safetensors").bytes);
  EXPECT_EQ(read(repo("org--m") / "refs" / "main"), kCommit);
  EXPECT_EQ(fs::read_symlink(repo("org--m") / "snapshots" / kCommit / "config.json"), "../../blobs/" + config);
  EXPECT_EQ(fs::read_symlink(repo("org--m") / "snapshots" / kCommit / "model.safetensors"), "../../blobs/" + weights);
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(repo("org--m") / "blobs" / weights)));
  EXPECT_TRUE(fs::exists(settings_.cache / ".locks" / "models--org--m" / (weights + ".lock")));
  EXPECT_TRUE(fs::exists(repo("org--m") / ".no_exist" / kCommit / "generation_config.json"));
  EXPECT_TRUE(fs::exists(repo("org--m") / "trees" / (kCommit + ".json")));
  EXPECT_THAT(read(settings_.cache / "CACHEDIR.TAG"), HasSubstr("Signature: 8a477f597d28d172789f06886806bc55"));
  EXPECT_THAT(names_in(repo("org--m") / "blobs"), Not(Contains(HasSubstr(".incomplete"))));
}

TEST_F(HubDownload, TakesNestedFilesWithLinksThatReachTheBlobs) {
  server_.put("m", "main", kCommit, a_model());
  const hub::Plan plan = download("m", {.include = {"onnx/*"}});
  EXPECT_EQ(read(plan.folder / "onnx" / "model.onnx"), "not needed");
  EXPECT_EQ(fs::read_symlink(plan.folder / "onnx" / "model.onnx"), "../../../blobs/" + sha256_digest("not needed"));
}

TEST_F(HubDownload, AnotherTimeAsksForNoFile) {
  server_.put("org/m", "main", kCommit, a_model());
  const fs::path folder = download("org/m").folder;
  server_.forget();
  EXPECT_EQ(download("org/m").missing_files(), 0);
  EXPECT_EQ(server_.count("HEAD", "") + server_.count("GET", "/resolve/"), 0);
  server_.forget();
  EXPECT_EQ(hub::find_cached(settings_, hub::parse_id("org/m")), folder);
  EXPECT_TRUE(server_.asked().empty());
}

TEST_F(HubDownload, TakesShardsThatTheIndexNames) {
  ServedFiles files = a_model();
  files.erase("model.safetensors");
  files["model.safetensors.index.json"] = {R"({"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}})"};
  files["part-1.safetensors"] = {"one", true};
  files["part-2.safetensors"] = {"two", true};
  files["part-3.safetensors"] = {"of another model", true};
  server_.put("m", "main", kCommit, files);
  const hub::Plan plan = download("m");
  EXPECT_THAT(names_in(plan.folder), ElementsAre("config.json", "model.safetensors.index.json", "part-1.safetensors",
                                                 "part-2.safetensors", "tokenizer.json"));
  EXPECT_TRUE(hub::find_cached(settings_, hub::parse_id("m")));
  fs::remove(plan.folder / "part-2.safetensors");
  EXPECT_FALSE(hub::find_cached(settings_, hub::parse_id("m")));
}

TEST_F(HubDownload, FetchesSeveralFilesAtOnce) {
  ServedFiles files = a_model();
  files.erase("model.safetensors");
  files["model.safetensors.index.json"] = {R"({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}})"};
  files["1.safetensors"] = {std::string(50'000, '1'), true};
  files["2.safetensors"] = {std::string(50'000, '2'), true};
  server_.put("m", "main", kCommit, files);
  server_.fault({.method = "GET", .path = "/cdn/", .times = 2, .bytes_per_ms = 100});
  download("m");
  EXPECT_EQ(server_.most_at_once(), 2);
}

TEST_F(HubDownload, TakesPyTorchWeightsOnlyWhereThereAreNoOthers) {
  ServedFiles files = a_model();
  files.erase("model.safetensors");
  server_.put("m", "main", kCommit, files);
  EXPECT_THAT(names_in(download("m").folder), ElementsAre("config.json", "pytorch_model.bin", "tokenizer.json"));
}

TEST_F(HubDownload, RefusesAnIndexThatNamesFilesElsewhere) {
  ServedFiles files = a_model();
  files.erase("model.safetensors");
  files["model.safetensors.index.json"] = {R"({"weight_map": {"a": "../../../escaped"}})"};
  server_.put("m", "main", kCommit, files);
  EXPECT_THAT(refused("m"), HasSubstr("shard is not a file of this folder"));
}

TEST_F(HubDownload, SaysWhatARepositoryLacks) {
  server_.put("m", "main", kCommit, {{"model.onnx", {"x", true}}, {"README.md", {"x"}}});
  EXPECT_THAT(refused("m"), AllOf(HasSubstr("lacks a file"), HasSubstr("config.json"), HasSubstr("model.onnx")));
}

ServedFiles gguf_files() {
  return {{"README.md", {"x"}},
          {"config.json", {"{}"}},
          {"m-Q4_K_M.gguf", {"four", true}},
          {"m-Q8_0.gguf", {"eight", true}},
          {"BF16/m-BF16-00001-of-00002.gguf", {"one", true}},
          {"BF16/m-BF16-00002-of-00002.gguf", {"two", true}}};
}

TEST_F(HubDownload, TakesTheGgufFileThatIsNamedAndNothingElse) {
  server_.put("org/m", "main", kCommit, gguf_files());
  const fs::path snapshot = repo("org--m") / "snapshots" / kCommit;
  const hub::Plan plan = download("org/m:q8_0");
  EXPECT_EQ(plan.model(), snapshot / "m-Q8_0.gguf");
  EXPECT_EQ(read(plan.model()), "eight");
  EXPECT_THAT(names_in(snapshot), ElementsAre("m-Q8_0.gguf"));
  EXPECT_EQ(download("org/m").model(), snapshot / "m-Q4_K_M.gguf");
  EXPECT_EQ(download("org/m/m-Q8_0.gguf").missing_files(), 0);
  EXPECT_EQ(server_.count("GET", "/resolve/" + kCommit + "/config.json"), 0);
}

TEST_F(HubDownload, TakesAllPartsOfAGgufFile) {
  server_.put("org/m", "main", kCommit, gguf_files());
  const fs::path folder = repo("org--m") / "snapshots" / kCommit / "BF16";
  const auto cached = [&](const char* id) { return hub::find_cached(settings_, hub::parse_id(id)); };
  EXPECT_FALSE(cached("org/m:BF16"));
  EXPECT_EQ(download("org/m/BF16/m-BF16-00002-of-00002.gguf").model(), folder / "m-BF16-00001-of-00002.gguf");
  EXPECT_EQ(read(folder / "m-BF16-00002-of-00002.gguf"), "two");
  EXPECT_EQ(cached("org/m:BF16"), folder / "m-BF16-00001-of-00002.gguf");
  EXPECT_FALSE(cached("org/m:Q8_0"));
  EXPECT_FALSE(cached("org/m"));  // which is its Q4_K_M
  fs::remove(folder / "m-BF16-00002-of-00002.gguf");
  EXPECT_FALSE(cached("org/m:BF16"));
}

TEST_F(HubDownload, SaysWhichGgufFilesThereAre) {
  ServedFiles files = gguf_files();
  server_.put("org/m", "main", kCommit, files);
  EXPECT_THAT(refused("org/m:Q5_K_M"), AllOf(HasSubstr("no such GGUF file"), HasSubstr("m-Q8_0.gguf"),
                                             HasSubstr("BF16/m-BF16-00001-of-00002.gguf"), Not(HasSubstr("README"))));
  EXPECT_THAT(refused("org/m/other.gguf"), AllOf(HasSubstr("no such GGUF file"), HasSubstr("other.gguf")));
  files.erase("BF16/m-BF16-00002-of-00002.gguf");
  server_.put("org/m", "main", kLater, files);
  EXPECT_THAT(refused("org/m:BF16"), AllOf(HasSubstr("lacks a file"), HasSubstr("00002-of-00002")));
  server_.put("org/folder", "main", kCommit, a_model());
  EXPECT_THAT(refused("org/folder:Q8_0"), AllOf(HasSubstr("no such GGUF file"), HasSubstr("model.safetensors")));
}

// A repository of both: the name alone is the folder, as ever.
TEST_F(HubDownload, PrefersSafetensorsWhereNoGgufFileIsNamed) {
  ServedFiles files = a_model();
  files["m-Q4_K_M.gguf"] = {"four", true};
  server_.put("org/m", "main", kCommit, files);
  EXPECT_EQ(download("org/m").model(), repo("org--m") / "snapshots" / kCommit);
  EXPECT_EQ(download("org/m:Q4_K_M").model(), repo("org--m") / "snapshots" / kCommit / "m-Q4_K_M.gguf");
}

// With no list of the commit's files: those that are there are all that one can choose from.
TEST_F(HubDownload, FindsTheGgufFileThatAnotherProgramFetched) {
  server_.put("org/m", "main", kCommit, gguf_files());
  const fs::path model = download("org/m:BF16").model();
  fs::remove_all(repo("org--m") / "trees");
  EXPECT_EQ(hub::find_cached(settings_, hub::parse_id("org/m:BF16")), model);
  EXPECT_EQ(hub::find_cached(settings_, hub::parse_id("org/m")), model);
  EXPECT_FALSE(hub::find_cached(settings_, hub::parse_id("org/m:Q8_0")));
}

TEST_F(HubDownload, TakesAnotherRevision) {
  server_.put("m", "main", kCommit, a_model());
  server_.put("m", "v2", kLater, a_model("2"));
  EXPECT_EQ(read(download("m@v2").folder / "tokenizer.json"), a_model("2").at("tokenizer.json").bytes);
  EXPECT_EQ(read(repo("m") / "refs" / "v2"), kLater);
  EXPECT_FALSE(hub::find_cached(settings_, hub::parse_id("m")));
  EXPECT_EQ(download("m@" + kLater).missing_files(), 0);
}

TEST_F(HubDownload, SharesBlobsBetweenRevisions) {
  server_.put("m", "main", kCommit, a_model());
  ServedFiles later = a_model();
  later["tokenizer.json"] = {"another"};
  server_.put("m", "v2", kLater, later);
  download("m");
  server_.forget();
  download("m@v2");
  EXPECT_EQ(server_.count("GET", "/cdn/"), 0);
  EXPECT_TRUE(fs::equivalent(repo("m") / "snapshots" / kLater / "model.safetensors",
                             repo("m") / "snapshots" / kCommit / "model.safetensors"));
}

// Between the listing and the files, a push moves main. All files are of the commit that was listed.
TEST_F(HubDownload, PinsOneCommitForAllFiles) {
  server_.put("m", "main", kCommit, a_model("old"));
  callbacks_.plan = [&](const hub::Plan&) { server_.put("m", "main", kLater, a_model("new")); };
  const hub::Plan plan = download("m");
  EXPECT_EQ(plan.commit, kCommit);
  EXPECT_EQ(read(plan.folder / "model.safetensors"), a_model("old").at("model.safetensors").bytes);
  EXPECT_EQ(read(plan.folder / "tokenizer.json"), a_model("old").at("tokenizer.json").bytes);
  callbacks_.plan = {};
  EXPECT_EQ(read(download("m").folder / "tokenizer.json"), a_model("new").at("tokenizer.json").bytes);
  EXPECT_EQ(read(repo("m") / "refs" / "main"), kLater);
}

TEST_F(HubDownload, FollowsARepositoryThatWasRenamed) {
  server_.put("openai-community/gpt2", "main", kCommit, a_model());
  server_.rename("gpt2", "openai-community/gpt2");
  EXPECT_EQ(read(download("gpt2").folder / "model.safetensors"), a_model().at("model.safetensors").bytes);
  EXPECT_TRUE(fs::exists(repo("gpt2") / "refs" / "main"));
}

TEST_F(HubDownload, ReadsListingsOfManyPages) {
  server_.page_size(2);
  server_.put("m", "main", kCommit, a_model());
  EXPECT_EQ(download("m").files.size(), 3);
  EXPECT_EQ(server_.count("GET", "/tree/"), 4);
}

TEST_F(HubDownload, DoesWithoutTheListingOfSizes) {
  server_.without_tree();
  server_.put("m", "main", kCommit, a_model());
  const hub::Plan plan = download("m");
  EXPECT_EQ(read(plan.folder / "model.safetensors"), a_model().at("model.safetensors").bytes);
  EXPECT_FALSE(fs::exists(repo("m") / "trees"));
}

TEST_F(HubDownload, PlansWithoutFetching) {
  server_.put("m", "main", kCommit, a_model());
  const hub::Plan plan = download("m", {.include = {}, .only_plan = true});
  std::uint64_t bytes = 0;
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"})
    bytes += a_model().at(name).bytes.size();
  EXPECT_EQ(plan.missing(), bytes);
  EXPECT_EQ(plan.missing_files(), 3);
  EXPECT_EQ(server_.count("GET", "/resolve/"), 1) << "config.json, which says what is needed";
  EXPECT_EQ(server_.count("GET", "/cdn/"), 0);
}

TEST_F(HubDownload, ReportsProgressUpToTheEnd) {
  server_.put("m", "main", kCommit, a_model());
  std::vector<std::int64_t> seen;
  std::int64_t last_total = 0;
  callbacks_.progress = [&](std::int64_t done, std::int64_t total) {
    seen.push_back(done);
    last_total = total;
  };
  const hub::Plan plan = download("m");
  ASSERT_FALSE(seen.empty());
  EXPECT_TRUE(std::ranges::is_sorted(seen));
  EXPECT_EQ(seen.back(), last_total);
  EXPECT_EQ(static_cast<std::uint64_t>(last_total), plan.missing());
}

TEST_F(HubDownload, PutsFilesThemselvesWhereLinksAreUnwanted) {
  settings_.symlinks = false;
  server_.put("m", "main", kCommit, a_model());
  const fs::path folder = download("m").folder;
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(folder / "model.safetensors")));
  EXPECT_EQ(read(folder / "model.safetensors"), a_model().at("model.safetensors").bytes);
  server_.forget();
  EXPECT_EQ(download("m").missing_files(), 0);
  EXPECT_EQ(server_.count("GET", "/cdn/"), 0);
}

TEST_F(HubDownload, CopiesABlobThatAnotherRevisionUsesWhereLinksAreUnwanted) {
  server_.put("m", "main", kCommit, a_model());
  ServedFiles later = a_model();
  later["tokenizer.json"] = {"another"};
  server_.put("m", "v2", kLater, later);
  const fs::path first = download("m").folder;
  settings_.symlinks = false;
  const fs::path second = download("m@v2").folder;
  const std::string weights = a_model().at("model.safetensors").bytes;
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(second / "model.safetensors")));
  EXPECT_EQ(read(second / "model.safetensors"), weights);
  ASSERT_TRUE(fs::exists(first / "model.safetensors"));
  EXPECT_EQ(read(first / "model.safetensors"), weights);
  EXPECT_EQ(server_.count("GET", "/cdn/"), 1);
  EXPECT_THAT(names_in(repo("m") / "blobs"), Not(Contains(HasSubstr(".incomplete"))));
}

TEST_F(HubDownload, TakesTheWeightsThatTheConfigNames) {
  ServedFiles files = a_model();
  files["config.json"] = {R"({"model_type": "gpt2", "transformers_weights": "other.safetensors"})"};
  EXPECT_THAT(
      (server_.put("m", "main", kCommit, files), refused("m")),
      AllOf(HasSubstr("lacks a file"), HasSubstr("other.safetensors, which transformers_weights in config.json")));
  files["other.safetensors"] = {"other", true};
  server_.put("m", "main", kLater, files);
  const fs::path folder = download("m").folder;
  EXPECT_THAT(names_in(folder), ElementsAre("config.json", "other.safetensors", "tokenizer.json"));
  EXPECT_EQ(hub::find_cached(settings_, hub::parse_id("m")), folder);
  fs::remove(folder / "other.safetensors");
  EXPECT_FALSE(hub::find_cached(settings_, hub::parse_id("m")));
}

TEST_F(HubDownload, RefusesToGuessWhereTheListingIsForbidden) {
  server_.put("m", "main", kCommit, a_model());
  server_.fault({.method = "GET", .path = "/tree/", .status = 403, .headers = {}});
  EXPECT_THAT(refused("m"), HasSubstr("forbids access"));
}

TEST_F(HubDownload, TakesAnEmptyFile) {
  ServedFiles files = a_model();
  files["merges.txt"] = {""};
  server_.put("m", "main", kCommit, files);
  EXPECT_EQ(read(download("m").folder / "merges.txt"), "");
}

TEST_F(HubDownload, LeavesOutNamesThatLeadOutOfTheFolder) {
  ServedFiles files = a_model();
  files["../../../../escaped.json"] = {"x"};
  files["/tmp/escaped.json"] = {"x"};
  server_.put("m", "main", kCommit, files);
  const hub::Plan plan = download("m", {.include = {"*.json"}});
  for (const auto& file : plan.files) EXPECT_THAT(file.name, Not(HasSubstr("escaped")));
}

}  // namespace
}  // namespace pkv::support

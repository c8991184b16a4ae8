// What goes wrong on the way: refusals, broken connections, wrong bytes, hostile answers.
#include <chrono>
#include <fstream>

#include "hub/fixture.h"

namespace pkv::support {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class HubFaults : public HubTest {
 protected:
  HubFaults() { server_.put("org/m", "main", kCommit, a_model()); }

  const std::string weights_ = a_model().at("model.safetensors").bytes;
  const fs::path blob_ = repo("org--m") / "blobs" / sha256_digest(weights_);
  const fs::path incomplete_ = blob_.string() + ".incomplete";

  void expect_whole() {
    const hub::Plan plan = download("org/m");
    EXPECT_EQ(read(plan.folder / "model.safetensors"), weights_);
    EXPECT_FALSE(fs::exists(incomplete_));
  }
};

TEST_F(HubFaults, KeepsTheTokenFromOtherHosts) {
  settings_.token = "hf_secret";
  download("org/m");
  int to_hub = 0, elsewhere = 0;
  for (const Asked& asked : server_.asked()) {
    const bool hub = asked.host.starts_with("127.0.0.1");
    EXPECT_EQ(asked.authorization, hub ? "Bearer hf_secret" : "") << asked.method << " " << asked.path;
    (hub ? to_hub : elsewhere) += 1;
  }
  EXPECT_GT(to_hub, 0);
  EXPECT_EQ(elsewhere, 1);
}

TEST_F(HubFaults, GoesOnFromWhereTheConnectionBroke) {
  server_.fault({.method = "GET", .path = "/cdn/", .cut_after = 7'000});
  expect_whole();
  EXPECT_EQ(server_.last_large().range, "bytes=7000-");
}

TEST_F(HubFaults, GoesOnFromWhatAnEarlierRunLeft) {
  server_.fault({.method = "GET", .path = "/cdn/", .times = 100, .cut_after = 0});
  fs::create_directories(blob_.parent_path());
  std::ofstream(incomplete_) << weights_.substr(0, 12'345);
  settings_.retries = 0;
  refused("org/m");
  EXPECT_EQ(fs::file_size(incomplete_), 12'345);
  HubServer fresh;
  fresh.put("org/m", "main", kCommit, a_model());
  settings_.endpoint = fresh.endpoint();
  expect_whole();
  EXPECT_EQ(fresh.last_large().range, "bytes=12345-");
}

TEST_F(HubFaults, BeginsAgainWhenWhatWasLeftIsWrong) {
  fs::create_directories(blob_.parent_path());
  std::ofstream(incomplete_) << std::string(5'000, 'x');
  expect_whole();
  EXPECT_EQ(server_.count("GET", "/cdn/"), 2);
}

TEST_F(HubFaults, BeginsAgainWhenTooMuchWasLeft) {
  fs::create_directories(blob_.parent_path());
  std::ofstream(incomplete_) << weights_ << "more";
  expect_whole();
}

TEST_F(HubFaults, BeginsAgainWithAServerThatKnowsNoRanges) {
  server_.fault({.method = "GET", .path = "/cdn/", .cut_after = 7'000});
  server_.fault({.method = "GET", .path = "/cdn/", .no_ranges = true});
  expect_whole();
}

TEST_F(HubFaults, DoesNotTakeOldBytesForProgress) {
  for (int i = 0; i < 50; ++i) {
    for (const std::size_t bytes : {7'000, 3'000}) {
      server_.fault({.method = "GET", .path = "/cdn/", .cut_after = bytes, .no_ranges = true});
    }
  }
  EXPECT_THAT(refused("org/m"), AllOf(HasSubstr("cannot reach localhost:"), HasSubstr("org/m: model.safetensors")));
  EXPECT_EQ(server_.count("GET", "/cdn/"), settings_.retries + 1);
}

// A proxy that breaks off ends its answer well where it doesn't say how long that is.
TEST_F(HubFaults, GoesOnWhereAnAnswerOfUnknownLengthEnds) {
  server_.fault({.method = "GET", .path = "/cdn/", .headers = {{"Content-Length", ""}}, .cut_after = 7'000});
  expect_whole();
  EXPECT_EQ(server_.last_large().range, "bytes=7000-");
}

TEST_F(HubFaults, GivesUpWhereAnswersAlwaysEndTooEarly) {
  server_.fault({.method = "GET",
                 .path = "/cdn/",
                 .times = 100,
                 .headers = {{"Content-Length", ""}},
                 .cut_after = 7'000,
                 .no_ranges = true});
  EXPECT_THAT(refused("org/m"), AllOf(HasSubstr("ends its answers before the file ends"), HasSubstr("model.safetens")));
  EXPECT_EQ(fs::file_size(incomplete_), 7'000) << "what has arrived is kept";
}

TEST_F(HubFaults, NamesTheHostThatCannotBeReached) {
  server_.fault({.method = "GET",
                 .path = "/" + kCommit + "/model.safetensors",
                 .times = 100,
                 .headers = {{"Location", "http://localhost:1/weights"}}});
  EXPECT_THAT(refused("org/m"), AllOf(HasSubstr("cannot reach localhost:1"), HasSubstr("org/m: model.safetensors")));
}

class HubDigests : public HubFaults {
 protected:
  void answer_with(const std::string& etag) {
    server_.fault(
        {.method = "HEAD", .path = "model.safetensors", .headers = {{"X-Linked-Etag", etag}, {"ETag", etag}}});
  }
};

TEST_F(HubDigests, AreThoseOfTheListingWhereTheEtagIsNone) {
  answer_with("abc");
  server_.fault({.method = "GET", .path = "/cdn/", .body = [](std::string b) { return std::string(b.size(), 'x'); }});
  EXPECT_THAT(refused("org/m"), AllOf(HasSubstr("not the one that the Hub names"), HasSubstr("SHA-256")));
  answer_with("abc");
  EXPECT_EQ(read(download("org/m").folder / "model.safetensors"), weights_);
}

TEST_F(HubDigests, ThatContradictEachOtherAreRefused) {
  answer_with(std::string(64, 'e'));
  EXPECT_THAT(refused("org/m"), AllOf(HasSubstr("contradicts itself about the digest"),
                                      HasSubstr(sha256_digest(weights_) + ", as it is listed")));
  EXPECT_EQ(server_.count("GET", "/cdn/"), 0);
}

TEST_F(HubDigests, ThatNobodyNamesAreMissed) {
  std::vector<std::string> notes;
  callbacks_.note = [&](const std::string& note) { notes.push_back(note); };
  server_.without_tree();
  answer_with("abc");
  download("org/m");
  EXPECT_THAT(notes, testing::ElementsAre("org/m: model.safetensors: the Hub names no digest of it: nothing but its "
                                          "size is checked"));
}

TEST_F(HubFaults, BeginsAgainWhenTheRangeIsRefused) {
  fs::create_directories(blob_.parent_path());
  std::ofstream(incomplete_) << weights_.substr(0, 100);
  server_.fault({.method = "GET", .path = "/cdn/", .status = 416, .headers = {}});
  expect_whole();
}

TEST_F(HubFaults, RefusesAnotherRangeThanItAskedFor) {
  fs::create_directories(blob_.parent_path());
  std::ofstream(incomplete_) << weights_.substr(0, 100);
  server_.fault({.method = "GET", .path = "/cdn/", .headers = {{"Content-Range", "bytes 50-19999/20000"}}});
  EXPECT_THAT(refused("org/m"), HasSubstr("another part of the file"));
  expect_whole();
}

TEST_F(HubFaults, RefusesWrongBytesAndKeepsNoneOfThem) {
  server_.fault({.method = "GET", .path = "/cdn/", .body = [](std::string b) { return std::string(b.size(), 'x'); }});
  EXPECT_THAT(refused("org/m"), AllOf(HasSubstr("not the one that the Hub names"), HasSubstr("SHA-256")));
  EXPECT_FALSE(fs::exists(blob_));
  EXPECT_FALSE(fs::exists(repo("org--m") / "snapshots" / kCommit / "model.safetensors"));
  expect_whole();
}

TEST_F(HubFaults, RefusesWrongBytesOfASmallFile) {
  server_.fault({.method = "GET", .path = "/api/resolve-cache", .body = [](std::string b) {
                   b[0] = 'x';
                   return b;
                 }});
  EXPECT_THAT(refused("org/m"), HasSubstr("git SHA-1"));
  expect_whole();
}

TEST_F(HubFaults, RefusesMoreBytesThanAnnounced) {
  server_.fault({.method = "GET", .path = "/cdn/", .headers = {{"Content-Length", ""}}, .body = [](std::string b) {
                   return b + "more";
                 }});
  EXPECT_THAT(refused("org/m"), HasSubstr("more bytes than the file has"));
  expect_whole();
}

TEST_F(HubFaults, RefusesASizeThatContradictsTheListing) {
  server_.fault({.method = "HEAD", .path = "model.safetensors", .headers = {{"X-Linked-Size", "19"}}});
  EXPECT_THAT(refused("org/m"), HasSubstr("contradicts itself about the size"));
  server_.fault({.method = "GET", .path = "/cdn/", .body = [](const std::string& b) { return b.substr(1); }});
  EXPECT_THAT(refused("org/m"), HasSubstr("contradicts itself about the size"));
  expect_whole();
}

TEST_F(HubFaults, RefusesAnotherCommitThanItAskedFor) {
  server_.fault({.method = "HEAD", .path = "model.safetensors", .headers = {{"X-Repo-Commit", kLater}}});
  EXPECT_THAT(refused("org/m"), AllOf(HasSubstr("another commit"), HasSubstr(kLater)));
}

TEST_F(HubFaults, RefusesEtagsThatAreNoNamesOfFiles) {
  for (const char* etag : {"\"../../../x\"", "\"..\"", "\"a/b\"", "\"\""}) {
    server_.fault(
        {.method = "HEAD", .path = "model.safetensors", .headers = {{"X-Linked-Etag", etag}, {"ETag", etag}}});
    EXPECT_THAT(refused("org/m"), HasSubstr("does not say which bytes")) << etag;
  }
}

TEST_F(HubFaults, TriesAgainWhenTheServerIsBusy) {
  server_.fault({.method = "GET", .path = "/api/models", .status = 503, .headers = {}});
  server_.fault({.method = "HEAD", .path = "config.json", .status = 500, .headers = {}});
  server_.fault({.method = "GET", .path = "/cdn/", .times = 2, .status = 502, .headers = {}});
  expect_whole();
}

TEST_F(HubFaults, GivesUpOnAServerThatStaysBusy) {
  server_.fault({.method = "GET", .path = "/cdn/", .times = 100, .status = 503, .headers = {}});
  EXPECT_THAT(refused("org/m"), AllOf(HasSubstr("does not work at the moment"), HasSubstr("503")));
  EXPECT_EQ(server_.count("GET", "/cdn/"), settings_.retries + 1);
}

TEST_F(HubFaults, WaitsAsLongAsTheServerAsks) {
  server_.fault({.method = "HEAD", .path = "config.json", .status = 429, .headers = {{"Retry-After", "1"}}});
  const auto start = std::chrono::steady_clock::now();
  expect_whole();
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST_F(HubFaults, DoesNotWaitForever) {
  server_.fault({.path = "/api/models", .times = 9, .status = 429, .headers = {{"RateLimit", "\"api\";r=0;t=999"}}});
  EXPECT_THAT(refused("org/m"),
              AllOf(HasSubstr("limits the rate"), HasSubstr("again in 999 s"), HasSubstr("HF_TOKEN")));
}

TEST_F(HubFaults, GoesOnAfterAConnectionThatFellSilent) {
  server_.fault({.method = "GET", .path = "/cdn/", .stall_after = 9'000});
  expect_whole();
  EXPECT_EQ(server_.last_large().range, "bytes=9000-");
}

TEST_F(HubFaults, DoesNotWaitForeverForAnAnswer) {
  settings_.etag_timeout = std::chrono::milliseconds(1'000);
  server_.fault({.path = "/revision/", .stall_after = 5});
  expect_whole();
  settings_.retries = 0;
  server_.put("org/other", "main", kCommit, a_model());
  server_.fault({.path = "/revision/", .stall_after = 5});
  EXPECT_THAT(refused("org/other"), AllOf(HasSubstr("cannot reach"), HasSubstr("timed out")));
}

TEST_F(HubFaults, SaysThatAModelIsGated) {
  server_.gate("org/m", "hf_good");
  EXPECT_THAT(refused("org/m"), AllOf(HasSubstr("gated"), HasSubstr("accept its terms at"), HasSubstr("HF_TOKEN")));
  settings_.token = "hf_other";
  EXPECT_THAT(refused("org/m"), AllOf(HasSubstr("gated"), HasSubstr("a token that has no access")));
  settings_.token = "hf_good";
  expect_whole();
}

TEST_F(HubFaults, SaysThatAModelIsAbsentOrPrivate) {
  EXPECT_THAT(refused("org/none"), AllOf(HasSubstr("no such model, or it is private"), HasSubstr("HF_TOKEN")));
  server_.hide("org/m", "hf_good");
  EXPECT_THAT(refused("org/m"), HasSubstr("no such model, or it is private"));
  settings_.token = "hf_good";
  expect_whole();
}

TEST_F(HubFaults, SaysThatATokenIsUnknown) {
  settings_.token = "expired";
  EXPECT_THAT(refused("org/m"), HasSubstr("does not know this token"));
}

TEST_F(HubFaults, SaysThatARevisionIsUnknown) {
  EXPECT_THAT(refused("org/m@v9"), AllOf(HasSubstr("no revision 'v9'"), HasSubstr("/commits/main")));
}

TEST_F(HubFaults, SaysThatAFileIsGone) {
  server_.fault(
      {.method = "HEAD", .path = "config.json", .status = 404, .headers = {{"X-Error-Code", "EntryNotFound"}}});
  EXPECT_THAT(refused("org/m"), HasSubstr("org/m: config.json: the model has no such file"));
}

TEST_F(HubFaults, SaysThatThereIsNoNetwork) {
  settings_.endpoint = "http://127.0.0.1:9";  // nobody listens there
  EXPECT_THAT(refused("org/m"), HasSubstr("cannot reach 127.0.0.1:9"));
}

TEST_F(HubFaults, UsesTheCacheWithoutANetwork) {
  const fs::path folder = download("org/m").folder;
  settings_.endpoint = "http://127.0.0.1:9";
  std::string told;
  callbacks_.note = [&](const std::string& line) { told += line; };
  EXPECT_EQ(download("org/m").folder, folder);
  EXPECT_THAT(told, HasSubstr("using what the cache holds"));
}

TEST_F(HubFaults, AsksNobodyOffline) {
  settings_.offline = true;
  EXPECT_THAT(refused("org/m"), HasSubstr("HF_HUB_OFFLINE"));
  EXPECT_TRUE(server_.asked().empty());
}

TEST_F(HubFaults, RefusesAnswersThatAreNoHubs) {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  for (const std::string& raw :
       {std::string("SSH-2.0-OpenSSH\r\n\r\n"), ok + "\r\n<html>log in here</html>", ok + "\r\n[[[[[[[[", ok + "\r\n{}",
        ok + "\r\n{\"sha\": \"../../..\"}", ok + "\r\n" + std::string(100'000, '['),
        ok + "X: " + std::string(90'000, 'x') + "\r\n\r\n"}) {
    server_.fault({.path = "/api/models", .raw = raw});
    settings_.retries = 0;
    EXPECT_THAT(refused("org/m"), Not(HasSubstr("no error"))) << raw.substr(0, 80);
  }
}

TEST_F(HubFaults, RefusesHeadersAndListingsWithoutEnd) {
  std::string headers = "HTTP/1.1 200 OK\r\n";
  while (headers.size() < 400'000)
    headers += "X-" + std::to_string(headers.size()) + ": " + std::string(1'000, 'x') + "\r\n";
  server_.fault({.path = "/api/models", .raw = headers + "\r\n{}"});
  EXPECT_THAT(refused("org/m"), HasSubstr("does not answer as a Hub does"));
  server_.fault({.path = "/revision/", .body = [](const std::string&) { return std::string(20 << 20, ' '); }});
  EXPECT_THAT(refused("org/m"), HasSubstr("more than anyone needs"));
}

TEST_F(HubFaults, RefusesRedirectsThatLeadNowhere) {
  const auto to = [&](const std::string& where) {
    return Fault{.method = "HEAD", .path = "config.json", .times = 30, .status = 302, .headers = {{"Location", where}}};
  };
  HubServer other;
  other.fault(to("/org/m/resolve/" + kCommit + "/config.json"));
  other.put("org/m", "main", kCommit, a_model());
  server_.fault(to("file:///etc/passwd"));
  EXPECT_THAT(refused("org/m"), HasSubstr("redirects to where nothing may be fetched from"));
  settings_.endpoint = other.endpoint();
  EXPECT_THAT(refused("org/m"), HasSubstr("redirects in a circle"));
}

// Ctrl-C, as the program does it: what the progress throws ends the work.
TEST_F(HubFaults, StopsWhenProgressThrowsAndGoesOnLater) {
  struct Enough {};
  server_.put("org/m", "main", kCommit, a_model("", 400'000));
  const std::string weights = a_model("", 400'000).at("model.safetensors").bytes;
  server_.fault({.method = "GET", .path = "/cdn/", .bytes_per_ms = 200});
  callbacks_.progress = [](std::int64_t done, std::int64_t) {
    if (done > 50'000) throw Enough{};
  };
  EXPECT_THROW(download("org/m"), Enough);
  const auto left = fs::file_size(repo("org--m") / "blobs" / (sha256_digest(weights) + ".incomplete"));
  EXPECT_GT(left, 50'000);
  EXPECT_LT(left, weights.size());
  callbacks_.progress = {};
  EXPECT_EQ(read(download("org/m").folder / "model.safetensors"), weights);
  EXPECT_EQ(server_.last_large().range, "bytes=" + std::to_string(left) + "-");
}

TEST_F(HubFaults, ChecksTheRoomOnTheDiskFirst) {
  server_.fault({.path = "/tree/", .body = [](std::string b) {
                   const std::string size = "\"size\":";
                   const auto lfs = b.find(size, b.find("\"model.safetensors\""));
                   return b.insert(lfs + size.size(), "500000000");
                 }});
  EXPECT_THAT(refused("org/m"), HasSubstr("not enough room on the disk of the cache"));
  EXPECT_EQ(server_.count("GET", "/cdn/"), 0);
}

}  // namespace
}  // namespace pkv::support

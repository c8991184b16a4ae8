// The cache on disk, in the layout that huggingface_hub leaves: what is found in it, listed of it, taken out of it.
#include "files/hub/cache.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "files/hf/display_name.h"
#include "files/hub/blob.h"
#include "files/hub/hub.h"
#include "files/hub/scan.h"
#include "unit/files/support.h"

// In place of libc's: a file system without links is not at hand everywhere.
static bool links_fail = false;
extern "C" int symlink(const char* target, const char* place) noexcept {
  if (!links_fail) return ::symlinkat(target, AT_FDCWD, place);
  errno = EPERM;
  return -1;
}

namespace pkv::hub {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kOld(40, '1'), kNew(40, '2');

class HubCacheTest : public InFolder {
 protected:
  void file(const std::string& repo, const std::string& commit, const std::string& name, const std::string& etag,
            const std::string& bytes) {
    const fs::path blob = folder_ / repo / "blobs" / etag, link = folder_ / repo / "snapshots" / commit / name;
    fs::create_directories(blob.parent_path());
    fs::create_directories(link.parent_path());
    put(blob, bytes);
    fs::remove(link);
    fs::create_symlink(blob.lexically_relative(link.parent_path()), link);
  }
  void ref(const std::string& repo, const std::string& name, const std::string& commit) {
    const fs::path path = folder_ / repo / "refs" / name;
    fs::create_directories(path.parent_path());
    put(path, commit);
  }
  void absent(const std::string& repo, const std::string& commit, const std::string& name) {
    fs::create_directories(folder_ / repo / ".no_exist" / commit);
    put(folder_ / repo / ".no_exist" / commit / name, "");
  }
  // gpt2 in two revisions that share their weights.
  void put_two_revisions() {
    const std::string repo = "models--gpt2";
    file(repo, kOld, "config.json", "c1", "{1}");
    file(repo, kOld, "model.safetensors", "w", std::string(1000, 'w'));
    file(repo, kOld, "onnx/model.onnx", "o", std::string(100, 'o'));
    file(repo, kNew, "config.json", "c2", "{22}");
    file(repo, kNew, "model.safetensors", "w", std::string(1000, 'w'));
    ref(repo, "main", kNew);
    ref(repo, "refs/pr/1", kOld);
  }

  bool found(const std::string& id) const { return find_cached({.cache = folder_}, parse_id(id)).has_value(); }
  Removal removal(const std::vector<std::string>& what) const { return plan_removal(scan(folder_), folder_, what); }
};

TEST_F(HubCacheTest, FindsWhatAnotherProgramDownloaded) {
  put_two_revisions();
  EXPECT_FALSE(found("gpt2"));  // nobody knows whether it has a tokenizer
  file("models--gpt2", kNew, "tokenizer.json", "t", "{}");
  EXPECT_EQ(find_cached({.cache = folder_}, parse_id("gpt2")), folder_ / "models--gpt2" / "snapshots" / kNew);
  EXPECT_TRUE(found("gpt2@" + kNew));
  EXPECT_FALSE(found("gpt2@v1") || found("other") || found("gpt2@" + kOld));
}

TEST_F(HubCacheTest, KnowsThatThereIsNoTokenizer) {
  put_two_revisions();
  absent("models--gpt2", kNew, "tokenizer.json");
  absent("models--gpt2", kNew, "vocab.json");
  EXPECT_TRUE(found("gpt2"));
}

TEST_F(HubCacheTest, DoesNotTakeAPartForTheWhole) {
  put_two_revisions();
  file("models--gpt2", kNew, "tokenizer.json", "t", "{}");
  fs::remove(folder_ / "models--gpt2" / "blobs" / "w");  // a link to a blob that is gone
  EXPECT_FALSE(found("gpt2"));
}

TEST_F(HubCacheTest, ComparesSizesWithTheListing) {
  put_two_revisions();
  const Cache cache(folder_, true);
  cache.remember_tree("gpt2", kNew,
                      {{.name = "config.json", .size = 4, .git = "c2", .sha256 = "", .xet = ""},
                       {.name = "model.safetensors", .size = 1000, .git = "", .sha256 = "w", .xet = ""}});
  EXPECT_TRUE(found("gpt2"));
  put(folder_ / "models--gpt2" / "blobs" / "w", "short");
  EXPECT_FALSE(found("gpt2"));
}

TEST_F(HubCacheTest, DoesNotTrustWhatRefsHold) {
  put_two_revisions();
  file("models--gpt2", kNew, "tokenizer.json", "t", "{}");
  for (const std::string& text : {std::string("../../.."), std::string(), std::string(5'000, '2'), kNew.substr(1)}) {
    ref("models--gpt2", "main", text);
    EXPECT_FALSE(found("gpt2")) << text;
  }
  ref("models--gpt2", "main", kNew + "\n");
  EXPECT_TRUE(found("gpt2"));
}

TEST_F(HubCacheTest, KnowsTheNameOfASnapshot) {
  EXPECT_EQ(hf::repo_of_snapshot(folder_ / "models--a--b" / "snapshots" / kNew), "a/b");
  EXPECT_EQ(hf::repo_of_snapshot(folder_ / "models--a--b" / "snapshots" / kNew / ""), "a/b");
  EXPECT_FALSE(hf::repo_of_snapshot(folder_ / "models--a--b" / "snapshots" / "main"));
  EXPECT_FALSE(hf::repo_of_snapshot(folder_));
}

TEST_F(HubCacheTest, ListsModelsWithTheirRevisions) {
  put_two_revisions();
  file("models--org--m", kOld, "config.json", "c", "{}");
  fs::create_directories(folder_ / "datasets--a--b" / "snapshots");
  fs::create_directories(folder_ / ".locks" / "models--gpt2");
  put(folder_ / "models--gpt2" / "blobs" / "x.incomplete", "12345");
  fs::create_symlink("none", folder_ / "models--gpt2" / "blobs" / "y.incomplete");  // of no size
  const CacheScan found = scan(folder_);
  ASSERT_EQ(found.models.size(), 2);
  EXPECT_THAT(found.notes, IsEmpty());
  const CachedModel& gpt2 = found.models[0];
  EXPECT_EQ(gpt2.repo, "gpt2");
  EXPECT_EQ(gpt2.bytes, 3 + 4 + 1000 + 100);
  EXPECT_EQ(gpt2.incomplete_bytes, 5);
  ASSERT_EQ(gpt2.revisions.size(), 2);
  EXPECT_THAT(gpt2.revisions[0].refs, ElementsAre("refs/pr/1"));
  EXPECT_EQ(gpt2.revisions[0].bytes, 3 + 1000 + 100);
  EXPECT_THAT(gpt2.revisions[1].refs, ElementsAre("main"));
  EXPECT_EQ(found.models[1].repo, "org/m");
}

TEST_F(HubCacheTest, PutsFilesWhereTheFileSystemKnowsNoLinks) {
  const Cache cache(folder_, true);
  cache.prepare("m");
  for (const bool fresh : {true, false}) {
    const std::string name = fresh ? "a" : "b";
    put(cache.blob("m", name), name);
    links_fail = true;
    const std::string error = error_of([&] { cache.link("m", kNew, name, name, fresh); });
    links_fail = false;
    EXPECT_EQ(error, "no error");
    const fs::path place = cache.snapshot("m", kNew) / name;
    EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(place)));
    EXPECT_EQ(read_file(place, 10), name);
    EXPECT_EQ(fs::exists(cache.blob("m", name)), !fresh) << "others may have links to it";
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "models--m" / "blobs"), {}), 1) << "something is left";
}

// A kill at any moment leaves nothing in refs/ that looks like a revision.
TEST_F(HubCacheTest, WritesRefsElsewhereAndRenamesThem) {
  const fs::path refs = folder_ / "models--m" / "refs";
  fs::create_directories(refs);
  const int watch = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  ASSERT_GE(::inotify_add_watch(watch, refs.c_str(), IN_CREATE | IN_MOVED_TO), 0);
  Cache(folder_, true).remember_commit(parse_id("m"), kNew);
  alignas(inotify_event) std::array<char, 4096> events{};
  const ssize_t size = ::read(watch, events.data(), events.size());
  ::close(watch);
  const auto* first = reinterpret_cast<const inotify_event*>(events.data());
  ASSERT_EQ(size, static_cast<ssize_t>(sizeof *first + first->len)) << "more than one event";
  EXPECT_STREQ(first->name, "main");
  EXPECT_EQ(read_file(refs / "main", 100), kNew);
  EXPECT_EQ(std::distance(fs::directory_iterator(refs.parent_path()), {}), 1) << "something is left";
}

// Two threads on a file system without locks, with files that are equal.
TEST_F(HubCacheTest, WritersWithoutALockDoNotMeet) {
  BlobWriter one(folder_ / "b", "", 6, false);
  one.write("abc");
  {
    BlobWriter other(folder_ / "b", "", 6, false);
    other.write("abcdef");
    EXPECT_EQ(other.finish(), "");
  }
  EXPECT_EQ(read_file(folder_ / "b", 10), "abcdef");
  one.write("def");
  EXPECT_EQ(one.finish(), "");
  EXPECT_EQ(read_file(folder_ / "b", 10), "abcdef");
}

// git's digest begins with the size. `printf abcdef | git hash-object --stdin`
TEST_F(HubCacheTest, DigestsAgainWhenTheSizeComesLate) {
  BlobWriter blob(folder_ / "b", "d96dc95707c20a371b14928ee42071f00e00b645", {}, true);
  blob.write("abc");
  EXPECT_THAT(error_of([&] { blob.expect(2); }), HasSubstr("at least 3 bytes"));
  blob.expect(6);
  blob.write("def");
  EXPECT_EQ(blob.finish(), "");
}

TEST_F(HubCacheTest, ListsACacheThatIsNotThere) { EXPECT_THAT(scan(folder_ / "none").models, IsEmpty()); }

TEST_F(HubCacheTest, TellsOfLinksThatLeadNowhere) {
  put_two_revisions();
  fs::remove(folder_ / "models--gpt2" / "blobs" / "c1");
  EXPECT_THAT(scan(folder_).notes, ElementsAre(HasSubstr("a link to a blob that is gone")));
}

TEST_F(HubCacheTest, RemovesARevisionAndKeepsWhatOthersUse) {
  put_two_revisions();
  const Removal plan = removal({"gpt2@refs/pr/1"});
  EXPECT_EQ(plan.bytes, 3 + 100);
  remove(plan);
  const fs::path repo = folder_ / "models--gpt2";
  EXPECT_FALSE(fs::exists(repo / "snapshots" / kOld) || fs::exists(repo / "refs" / "refs" / "pr" / "1"));
  EXPECT_FALSE(fs::exists(repo / "blobs" / "c1") || fs::exists(repo / "blobs" / "o"));
  EXPECT_EQ(read_file(repo / "snapshots" / kNew / "model.safetensors", 2000).size(), 1000);
  EXPECT_EQ(scan(folder_).models[0].revisions.size(), 1);
}

TEST_F(HubCacheTest, RemovesAWholeModel) {
  put_two_revisions();
  file("models--org--m", kOld, "config.json", "c", "{}");
  EXPECT_EQ(removal({"gpt2@main", kOld}).revisions, std::vector<std::string>{"gpt2"});  // all there are
  const Removal plan = removal({"gpt2"});
  EXPECT_EQ(plan.bytes, 3 + 4 + 1000 + 100);
  remove(plan);
  EXPECT_FALSE(fs::exists(folder_ / "models--gpt2"));
  EXPECT_TRUE(fs::exists(folder_ / "models--org--m"));
}

TEST_F(HubCacheTest, RefusesToRemoveWhatIsNotThere) {
  put_two_revisions();
  for (const char* what : {"none", "gpt2@none", "../x", "", "gpt2@", "22222"}) {
    EXPECT_THAT(error_of([&] { removal({what}); }, Error::Kind::usage), HasSubstr("no such model or revision")) << what;
  }
}

// The store that huggingface_hub shares between models, since its version 2.
class SharedStoreTest : public HubCacheTest {
 protected:
  SharedStoreTest() : hash_(64, 'e'), stored_(folder_ / "blobs" / "ee" / hash_) {}
  void share(const std::string& repo) {
    file(repo, kOld, "model.safetensors", "w", "");
    fs::create_directories(stored_.parent_path());
    put(folder_ / "blobs" / ".huggingface-shared-blobs", "1\n");
    put(stored_, std::string(700, 'w'));
    fs::remove(folder_ / repo / "blobs" / "w");
    fs::create_symlink("../../blobs/ee/" + hash_, folder_ / repo / "blobs" / "w");
    list_ += repo + "/blobs/w\n";
    put(stored_.string() + ".refs", list_);
  }
  const std::string hash_;
  const fs::path stored_;
  std::string list_;
};

TEST_F(SharedStoreTest, FreesABlobWithItsLastUser) {
  share("models--a");
  share("models--b");
  EXPECT_EQ(scan(folder_).models[0].bytes, 700);
  EXPECT_EQ(removal({"a", "b"}).bytes, 700);
  EXPECT_EQ(removal({"a"}).bytes, 0);
  remove(removal({"a"}));
  EXPECT_TRUE(fs::exists(stored_));
  EXPECT_EQ(removal({"b"}).bytes, 700);
  remove(removal({"b"}));
  EXPECT_FALSE(fs::exists(stored_));
}

TEST_F(SharedStoreTest, KeepsABlobWhoseUsersNobodyListed) {
  share("models--a");
  fs::remove(stored_.string() + ".refs");
  EXPECT_EQ(removal({"a"}).bytes, 0);
  remove(removal({"a"}));
  EXPECT_TRUE(fs::exists(stored_));
}

TEST_F(SharedStoreTest, IsNotAnyFolderOfThatName) {
  share("models--a");
  put(folder_ / "blobs" / ".huggingface-shared-blobs", "2\n");
  remove(removal({"a"}));
  EXPECT_TRUE(fs::exists(stored_));
}

// Links that somebody planted lead out of the cache. Nothing there is removed, or even counted.
TEST_F(HubCacheTest, NeverRemovesOutsideTheCache) {
  const fs::path outside = folder_ / "outside", cache = folder_ / "cache", repo = cache / "models--gpt2";
  fs::create_directories(outside);
  put(outside / "precious", std::string(5000, 'x'));
  fs::create_directories(repo / "snapshots" / kOld);
  fs::create_directories(repo / "blobs");
  fs::create_symlink(outside / "precious", repo / "snapshots" / kOld / "config.json");
  fs::create_directory_symlink(outside, repo / "snapshots" / kOld / "sub");
  fs::create_directory_symlink(outside, repo / "snapshots" / kNew);
  fs::create_directory_symlink(outside, cache / "models--a--b");
  const CacheScan found = scan(cache);
  ASSERT_EQ(found.models.size(), 1);
  EXPECT_EQ(found.models[0].bytes, 0);
  remove(plan_removal(found, cache, {"gpt2"}));
  EXPECT_FALSE(fs::exists(repo));
  EXPECT_TRUE(fs::exists(outside / "precious"));
}

}  // namespace
}  // namespace pkv::hub

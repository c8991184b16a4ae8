// What room files/hub reads of the Hub without a network: names, headers, listings, digests, the environment.
#include <cstdlib>

#include "files/hf/repo_name.h"
#include "files/http/headers.h"
#include "files/http/http.h"
#include "files/hub/choice.h"
#include "files/hub/client.h"
#include "files/hub/digest.h"
#include "files/hub/id.h"
#include "files/hub/settings.h"
#include "files/hub/wire.h"
#include "unit/files/support.h"

namespace pkv::hub {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// As huggingface_hub's validate_repo_id decides.
TEST(Id, TakesTheNamesThatTheHubAllows) {
  for (const char* id : {"gpt2", "mosaicml/mpt-7b", "Foo-BAR_foo.bar123", "a/b@v1.0", "a/b@refs/pr/1", "123"}) {
    EXPECT_EQ(why_no_id(id), "") << id;
  }
}

TEST(Id, RefusesOthersAndSaysWhy) {
  for (const char* id : {"",       "/",    "a/",     "/a",   "a/b/c",  "./a", "../a", "a/..",     ".hidden",
                         "a--b",   "a..b", "a.git",  "-a",   "a-",     "a b", "a\\b", "models:a", "a@",
                         "a@../x", "a@/x", "a@x//y", "a@.x", "a@x/.y", "ä",   "a\n"}) {
    EXPECT_NE(why_no_id(id), "") << id;
  }
  EXPECT_NE(why_no_id(std::string(97, 'a')), "");
  EXPECT_THAT(error_of([] { parse_id("a/b/c"); }, Error::Kind::usage), HasSubstr("more than one /"));
}

// organisation/name:TAG as llama.cpp's -hf has it.
TEST(Id, MayNameAGgufFile) {
  const Id tagged = parse_id("unsloth/Qwen3-0.6B-GGUF:UD-Q4_K_XL");
  EXPECT_EQ(tagged.repo, "unsloth/Qwen3-0.6B-GGUF");
  EXPECT_EQ(tagged.gguf, "UD-Q4_K_XL");
  EXPECT_EQ(tagged.revision, "main");
  EXPECT_EQ(tagged.text(), "unsloth/Qwen3-0.6B-GGUF:UD-Q4_K_XL");
  for (const char* text : {"a/b:q8_0@v1", "a/b@v1:q8_0"}) {
    EXPECT_EQ(parse_id(text).repo, "a/b") << text;
    EXPECT_EQ(parse_id(text).gguf, "q8_0") << text;
    EXPECT_EQ(parse_id(text).text(), "a/b:q8_0@v1") << text;
  }
  const Id file = parse_id("a/b/BF16/m-00001-of-00002.gguf@v1");
  EXPECT_EQ(file.repo, "a/b");
  EXPECT_EQ(file.gguf, "BF16/m-00001-of-00002.gguf");
  EXPECT_EQ(file.text(), "a/b/BF16/m-00001-of-00002.gguf@v1");
  EXPECT_EQ(parse_id("a/b.gguf").repo, "a/b.gguf");
  for (const char* text : {"a/b:", "a/b:Q4/K", "a/b:Q4:K", "a/b:../x", "a/b/../x.gguf", "a/b//x.gguf", "a/b/c/x.bin",
                           "b:Q8_0", "a/b@x/../y:Q8_0"}) {
    EXPECT_NE(why_no_id(text), "") << text;
  }
}

// As llama.cpp's find_best_model does, but that F16 is not found in BF16.
TEST(ChooseGguf, FindsTheFileThatIsMeant) {
  const std::vector<std::string> names{"BF16/m-BF16-00001-of-00002.gguf",
                                       "BF16/m-BF16-00002-of-00002.gguf",
                                       "README.md",
                                       "config.json",
                                       "m-F16.gguf",
                                       "m-Q3_K_S.gguf",
                                       "m-Q4_K_M.gguf",
                                       "m-Q8_0.gguf",
                                       "mmproj-Q4_K_M.gguf",
                                       "mtp-m-Q2_K.gguf",
                                       "mQ2_K.gguf"};
  const auto chosen = [&](std::string_view wanted) { return choose_gguf(names, wanted); };
  EXPECT_THAT(chosen("Q8_0"), ElementsAre("m-Q8_0.gguf"));
  EXPECT_THAT(chosen("q3_k_s"), ElementsAre("m-Q3_K_S.gguf"));
  EXPECT_THAT(chosen("F16"), ElementsAre("m-F16.gguf"));
  EXPECT_THAT(chosen("BF16"), ElementsAre("BF16/m-BF16-00001-of-00002.gguf", "BF16/m-BF16-00002-of-00002.gguf"));
  EXPECT_THAT(chosen("Q2_K"), ElementsAre("mQ2_K.gguf"));
  EXPECT_THAT(chosen("Q4_K"), IsEmpty());  // of which Q4_K_M is only the beginning
  EXPECT_THAT(chosen("m-Q8_0.gguf"), ElementsAre("m-Q8_0.gguf"));
  EXPECT_THAT(chosen("BF16/m-BF16-00002-of-00002.gguf"),
              ElementsAre("BF16/m-BF16-00001-of-00002.gguf", "BF16/m-BF16-00002-of-00002.gguf"));
  EXPECT_THAT(chosen("Q8_0.gguf"), IsEmpty());
  EXPECT_THAT(chosen(""), ElementsAre("m-Q4_K_M.gguf"));
  const auto of = [](const std::vector<std::string>& few) { return choose_gguf(few, ""); };
  EXPECT_THAT(of({"m-F16.gguf", "m-Q8_0.gguf"}), ElementsAre("m-Q8_0.gguf"));
  EXPECT_THAT(of({"m-F16.gguf", "m-IQ4_XS.gguf"}), ElementsAre("m-F16.gguf"));
  EXPECT_TRUE(is_of_gguf(names));
  EXPECT_FALSE(is_of_gguf(std::vector<std::string>{"m-F16.gguf", "model.safetensors"}));
  EXPECT_FALSE(is_of_gguf(std::vector<std::string>{"mmproj-F16.gguf"}));
}

TEST(Id, IsReadFromTheAddressOfItsPage) {
  const std::string site = "https://huggingface.co/";
  EXPECT_EQ(without_address(site + "mosaicml/mpt-7b"), "mosaicml/mpt-7b");
  EXPECT_EQ(without_address(site + "mosaicml/mpt-7b/"), "mosaicml/mpt-7b");
  EXPECT_EQ(without_address("http://www.huggingface.co/a/b?x=1#y"), "a/b");
  EXPECT_EQ(without_address("hf.co/a/b/tree/main"), "a/b");
  EXPECT_EQ(without_address(site + "a/b/tree/v1.0"), "a/b@v1.0");
  EXPECT_EQ(without_address(site + "a/b/blob/v1.0/config.json"), "a/b@v1.0");
  EXPECT_EQ(without_address(site + "a/b/discussions/3"), "a/b");
  EXPECT_EQ(without_address(site + "a/b/blob/main/BF16/m.gguf"), "a/b/BF16/m.gguf");
  EXPECT_EQ(without_address(site + "a/b/resolve/v1/m.gguf?download=true"), "a/b/m.gguf@v1");
  EXPECT_EQ(without_address("hf.co/a/b:Q4_K_M"), "a/b:Q4_K_M");
  EXPECT_EQ(without_address(site + "gpt2/tree/v1"), "gpt2@v1");
  EXPECT_EQ(parse_id(site + "a/b/tree/v1").text(), "a/b@v1");
  for (const char* other : {"a/b", "https://example.com/a/b", "huggingface.com/a/b", "www.huggingface.co/a/b", ""}) {
    EXPECT_EQ(without_address(other), other);
  }
  EXPECT_NE(why_no_id(without_address(site)), "");
}

TEST(Id, KnowsItsFolder) {
  EXPECT_EQ(hf::folder_of_repo("mosaicml/mpt-7b"), "models--mosaicml--mpt-7b");
  EXPECT_EQ(hf::repo_of_folder("models--mosaicml--mpt-7b"), "mosaicml/mpt-7b");
  EXPECT_EQ(hf::repo_of_folder("models--gpt2"), "gpt2");
  for (const char* folder : {"datasets--a--b", "models--", "models--..", "models--a--b--c", ".locks"}) {
    EXPECT_FALSE(hf::repo_of_folder(folder)) << folder;
  }
}

TEST(HubPath, StaysWithinItsFolder) {
  for (const char* path : {"config.json", "onnx/model.onnx", ".gitattributes", "a/b/c"})
    EXPECT_TRUE(is_safe_path(path));
  for (const char* path : {"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "a\\b", "a\nb"}) {
    EXPECT_FALSE(is_safe_path(path)) << path;
  }
  EXPECT_FALSE(is_safe_path(std::string(300, 'a')));
}

// Known answers: `git hash-object` and `sha256sum` of these bytes.
TEST(Digest, IsThatOfGitAndOfSha256sum) {
  const auto digest = [](Digest::Kind kind, std::string_view text) {
    Digest d(kind, text.size());
    for (const char& c : text) d.add(std::as_bytes(std::span(&c, 1)));
    return d.finish();
  };
  EXPECT_EQ(digest(Digest::Kind::git, ""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  EXPECT_EQ(digest(Digest::Kind::git, "hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
  EXPECT_EQ(digest(Digest::Kind::sha256, ""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest(Digest::Kind::sha256, "abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Digest, IsOfTheKindThatTheEtagHas) {
  EXPECT_EQ(Digest::kind_of(std::string(64, 'a')), Digest::Kind::sha256);
  EXPECT_EQ(Digest::kind_of(std::string(40, '0')), Digest::Kind::git);
  for (const std::string& etag : {std::string(64, 'A'), std::string(40, 'g'), std::string("abc"), std::string()}) {
    EXPECT_EQ(Digest::kind_of(etag), Digest::Kind::none);
  }
}

// The examples of huggingface_hub's _normalize_etag, and what it would let through.
TEST(Etag, IsNormalisedAsHuggingFaceHubDoes) {
  EXPECT_EQ(normal_etag("\"abc\""), "abc");
  EXPECT_EQ(normal_etag("W/\"abc\""), "abc");
  EXPECT_EQ(normal_etag("abc"), "abc");
  for (const char* etag :
       {"", "\"\"", "W/", "\"a/b\"", "\"..\"", "\".\"", "\".a\"", "\"a.lock\"", "\"a.incomplete\""}) {
    EXPECT_FALSE(normal_etag(etag)) << etag;
  }
}

TEST(Headers, AreThoseOfTheLastResponse) {
  http::Headers headers;
  EXPECT_TRUE(headers.add("HTTP/1.1 100 Continue\r\n") && headers.add("X-A: 1\r\n") && headers.add("\r\n"));
  EXPECT_TRUE(headers.add("HTTP/1.1 200 OK\r\n") && headers.add("CONTENT-length:  12 \r\n") && headers.add("odd\r\n"));
  EXPECT_EQ(headers.get("x-a"), "");
  EXPECT_EQ(headers.number("content-length"), 12);
  EXPECT_FALSE(headers.number("x-a"));
  bool room = true;
  for (int i = 0; room && i < 10'000; ++i) room = headers.add("X: " + std::string(1'000, 'x'));
  EXPECT_FALSE(room);
}

TEST(ContentRange, IsReadOrRefused) {
  const auto range = parse_content_range("bytes 100-199/200");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 100);
  EXPECT_EQ(range->last, 199);
  EXPECT_EQ(range->size, 200);
  EXPECT_TRUE(parse_content_range("bytes 0-0/*"));
  for (const char* text : {"", "bytes", "bytes */200", "bytes 5-4/10", "bytes 0-10/10", "bytes -1-5/10", "0-1/2",
                           "bytes 0-1/99999999999999999999", "bytes 1-/2", "bytes 0-1"}) {
    EXPECT_FALSE(parse_content_range(text)) << text;
  }
}

TEST(RateLimit, IsReadWhenItIsReached) {
  EXPECT_EQ(http::parse_rate_limit("\"api\";r=0;t=55"), 55);
  for (const char* text : {"", "\"api\";r=3;t=55", "\"api\";t=55", "\"api\";r=0", "\"api\";r=0;t="}) {
    EXPECT_FALSE(http::parse_rate_limit(text)) << text;
  }
}

TEST(NextPage, IsFoundAmongLinks) {
  EXPECT_EQ(next_page("<https://h/x?cursor=1>; rel=\"next\""), "https://h/x?cursor=1");
  EXPECT_EQ(next_page("<https://h/a>; rel=\"prev\", <https://h/b>; rel=\"next\""), "https://h/b");
  for (const char* text : {"", "<https://h/a>; rel=\"prev\"", "<https://h/a", "rel=\"next\"", ">a<"}) {
    EXPECT_EQ(next_page(text), "") << text;
  }
}

TEST(Url, IsResolvedAndKeptToTheWeb) {
  EXPECT_EQ(http::absolute_url("https://h/a/b", "/c"), "https://h/c");
  EXPECT_EQ(http::absolute_url("https://h/a", "https://other/x?y=z"), "https://other/x?y=z");
  EXPECT_EQ(http::absolute_url("https://h/a", "//other/x"), "https://other/x");
  for (const char* url : {"file:///etc/passwd", "ftp://h/a", "gopher://h", "javascript:1"}) {
    EXPECT_EQ(http::absolute_url("https://h/a", url), "") << url;
  }
  EXPECT_EQ(http::origin_of("https://H.example/a?b"), "https://h.example:443");
  EXPECT_NE(http::origin_of("http://h.example"), http::origin_of("https://h.example"));
  EXPECT_EQ(http::origin_of("https://h.example@evil.example/"), "https://evil.example:443");
  EXPECT_EQ(http::percent_encoded("refs/pr/1"), "refs%2Fpr%2F1");
  EXPECT_EQ(http::percent_encoded("a b/ü", "/"), "a%20b/%C3%BC");
}

TEST(Listing, IsReadWithoutUnsafeNames) {
  const auto page = parse_tree_page(R"([{"type": "file", "oid": "x", "size": 3, "path": "a.json"},
      {"type": "directory", "path": "d"}, {"type": "file", "size": 1, "path": "../b"},
      {"type": "file", "size": 130, "path": "m.safetensors", "lfs": {"oid": ")" +
                                        std::string(64, 'a') + R"(", "size": 5000, "pointerSize": 130}}])",
                                    "page");
  ASSERT_EQ(page.size(), 2);
  EXPECT_EQ(page[0].name, "a.json");
  EXPECT_EQ(page[0].git, "");  // "x" is no digest
  EXPECT_EQ(page[1].size, 5'000);
  EXPECT_EQ(page[1].sha256, std::string(64, 'a'));
  for (const char* text : {"", "{}", "null", "[", "\"a\""}) {
    EXPECT_THAT(error_of([&] { parse_tree_page(text, "page"); }), Not(HasSubstr("no error"))) << text;
  }
}

// Sums of them must fit.
TEST(Listing, RefusesSizesThatNoFileHas) {
  const auto page = [](std::uint64_t size) {
    return R"([{"type": "file", "path": "a", "size": )" + std::to_string(size) + "}]";
  };
  EXPECT_EQ(parse_tree_page(page(std::uint64_t{1} << 46), "page")[0].size, std::uint64_t{1} << 46);
  EXPECT_THAT(error_of([&] { parse_tree_page(page(std::uint64_t{1} << 63), "page"); }),
              AllOf(HasSubstr("page: is not what a Hub answers"), HasSubstr("size, at most 70368744177664 bytes")));
  EXPECT_THAT(error_of([&] {
                parse_tree_file(R"({"format_version": 1, "files": {"a": {"lfs_size": 9223372036854775808}}})", "tree");
              }),
              HasSubstr("lfs_size, at most"));
}

TEST(Listing, KnowsTheDigestOfAFile) {
  const std::string git(40, 'a'), sha(64, 'b'), xet(64, 'c');
  EXPECT_EQ((RepoFile{.name = "f", .size = 1, .git = git, .sha256 = {}, .xet = {}}).digest(), git);
  EXPECT_EQ((RepoFile{.name = "f", .size = 1, .git = git, .sha256 = sha, .xet = xet}).digest(), sha);
  EXPECT_EQ((RepoFile{.name = "f", .size = 1, .git = git, .sha256 = {}, .xet = xet}).digest(), "");  // of a pointer
  EXPECT_EQ((RepoFile{.name = "f", .size = 1, .git = "no digest", .sha256 = {}, .xet = {}}).digest(), "");
}

TEST(Token, IsForTheHubAlone) {
  const auto may = [](const std::string& endpoint, const std::string& url) {
    return may_see_token({.endpoint = endpoint}, url);
  };
  const std::string hub = "https://huggingface.co", mirror = "https://mirror.example";
  EXPECT_TRUE(may(hub, hub + "/a") && may(hub, "https://hf.co/a") && may("https://hf.co", hub + "/a"));
  EXPECT_TRUE(may(mirror, mirror + "/a"));
  EXPECT_FALSE(may(mirror, hub + "/a") || may(mirror, "https://hf.co/a") || may(hub, mirror + "/a"));
  EXPECT_FALSE(may(hub, "http://huggingface.co/a") || may(hub, "https://huggingface.co:8443/a"));
  EXPECT_FALSE(may(hub, "https://cdn-lfs.hf.co/a") || may(hub, "no address"));
}

TEST(Listing, SurvivesTheFileOfTheCache) {
  const std::vector<RepoFile> files{{.name = "a", .size = 3, .git = std::string(40, 'b'), .sha256 = "", .xet = ""},
                                    {.name = "d/m",
                                     .size = 9,
                                     .git = std::string(40, 'c'),
                                     .sha256 = std::string(64, 'd'),
                                     .xet = std::string(64, 'e')}};
  const auto read = parse_tree_file(tree_file_text(files), "file");
  ASSERT_TRUE(read);
  EXPECT_EQ((*read)[1].name, "d/m");
  EXPECT_EQ((*read)[1].size, 9);
  EXPECT_EQ((*read)[1].xet, std::string(64, 'e'));
  EXPECT_FALSE(parse_tree_file(R"({"format_version": 2, "files": {}})", "file"));
}

TEST(Choice, PrefersSafetensorsInOneFile) {
  const std::vector<std::string> all{"config.json",
                                     "model.safetensors",
                                     "model.safetensors.index.json",
                                     "pytorch_model.bin",
                                     "pytorch_model.bin.index.json",
                                     "x.py"};
  const auto without = [&](std::size_t first) {
    std::vector<std::string> names{"config.json"};
    names.insert(names.end(), all.begin() + static_cast<std::ptrdiff_t>(first), all.end());
    return choose(names).weights;
  };
  for (std::size_t i = 1; i <= 4; ++i) EXPECT_EQ(without(i), all[i]);
  EXPECT_EQ(without(5), "");
  EXPECT_THAT(choose(all).files, ElementsAre("config.json", "model.safetensors"));
}

TEST(Patterns, MatchAsThoseOfHuggingFaceHub) {
  const std::vector<std::string> names{"a.json", "b.bin", "onnx/c.json", "onnx/d.bin"};
  const auto found = [&](std::vector<std::string> patterns) { return matching(names, patterns); };
  EXPECT_THAT(found({"*.json"}), ElementsAre("a.json", "onnx/c.json"));
  EXPECT_THAT(found({"onnx/"}), ElementsAre("onnx/c.json", "onnx/d.bin"));
  EXPECT_THAT(found({"?.bin", "a.*"}), ElementsAre("a.json", "b.bin"));
  EXPECT_THAT(found({"[bx].bin"}), ElementsAre("b.bin"));
  EXPECT_THAT(found({"none"}), IsEmpty());
}

class Environment : public testing::Test {
 protected:
  Environment() {
    for (const char* name :
         {"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN",
          "HF_TOKEN_PATH", "HF_ENDPOINT", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_ETAG_TIMEOUT",
          "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_HUB_DISABLE_SYMLINKS"}) {
      ::unsetenv(name);
    }
    ::setenv("HOME", "/home/u", 1);
  }
  static void set(const char* name, const char* value) { ::setenv(name, value, 1); }
};

TEST_F(Environment, SaysWhereTheCacheIs) {
  EXPECT_EQ(settings_from_environment().cache, "/home/u/.cache/huggingface/hub");
  set("XDG_CACHE_HOME", "/x");
  EXPECT_EQ(settings_from_environment().cache, "/x/huggingface/hub");
  set("HF_HOME", "~/hf");
  EXPECT_EQ(settings_from_environment().cache, "/home/u/hf/hub");
  set("HF_HUB_CACHE", "$HOME/${NONE}/c");
  EXPECT_EQ(settings_from_environment().cache, "/home/u/${NONE}/c");
}

TEST_F(Environment, SaysWhatTheHubIs) {
  EXPECT_EQ(settings_from_environment().endpoint, "https://huggingface.co");
  set("HF_ENDPOINT", "https://mirror.example/");
  EXPECT_EQ(settings_from_environment().endpoint, "https://mirror.example");
  for (const char* endpoint :
       {"mirror.example", "ftp://h.example", "https://", "https://u:p@h.example", "https://a b"}) {
    set("HF_ENDPOINT", endpoint);
    EXPECT_THAT(error_of(settings_from_environment, Error::Kind::usage), HasSubstr("HF_ENDPOINT")) << endpoint;
  }
}

TEST_F(Environment, GivesTheTokenAndNeverShowsIt) {
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "pkv_hub_token";
  put(file, "hf_of_file\n");
  set("HF_TOKEN_PATH", file.c_str());
  EXPECT_EQ(settings_from_environment().token, "hf_of_file");
  set("HF_TOKEN", " hf_of_variable\n");
  EXPECT_EQ(settings_from_environment().token, "hf_of_variable");
  set("HF_TOKEN", "hf_secret\r\nX-Injected: 1");
  EXPECT_THAT(error_of(settings_from_environment, Error::Kind::usage), Not(HasSubstr("hf_secret")));
  set("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1");
  EXPECT_EQ(settings_from_environment().token, "");
  std::filesystem::remove(file);
}

TEST_F(Environment, SaysHowLongToWait) {
  EXPECT_EQ(settings_from_environment().download_timeout, std::chrono::seconds(10));
  set("HF_HUB_DOWNLOAD_TIMEOUT", "30");
  EXPECT_EQ(settings_from_environment().download_timeout, std::chrono::seconds(30));
  set("HF_HUB_ETAG_TIMEOUT", "soon");
  EXPECT_THAT(error_of(settings_from_environment, Error::Kind::usage), HasSubstr("HF_HUB_ETAG_TIMEOUT"));
}

TEST_F(Environment, SaysWhetherTheNetworkMayBeUsed) {
  EXPECT_FALSE(settings_from_environment().offline);
  for (const char* yes : {"1", "true", "YES", "on"}) {
    set("HF_HUB_OFFLINE", yes);
    EXPECT_TRUE(settings_from_environment().offline) << yes;
  }
  set("HF_HUB_OFFLINE", "0");
  EXPECT_FALSE(settings_from_environment().offline);
}

}  // namespace
}  // namespace pkv::hub

// The program against the Hub: many at once, and killed at any moment.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <thread>
#include <vector>

#include "hub/fixture.h"
#include "support/places.h"

namespace pkv::support {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class HubPrograms : public HubTest {
 protected:
  // Starts `pkv ARGS...` with the server as its Hub; its output goes to the file NAME of the test's folder.
  pid_t start(std::vector<std::string> args, const std::string& name) {
    args.insert(args.begin(), program());
    std::vector<std::string> variables{"HF_HUB_CACHE=" + settings_.cache.string(),
                                       "HF_ENDPOINT=" + server_.endpoint(),
                                       "HF_HUB_DOWNLOAD_TIMEOUT=60",
                                       "no_proxy=127.0.0.1,localhost",
                                       "HOME=" + folder_.path().string(),
                                       "PATH=/usr/bin:/bin",
                                       "ASAN_OPTIONS=exitcode=99"};
    std::vector<char*> argv, env;
    for (std::string& arg : args) argv.push_back(arg.data());
    for (std::string& variable : variables) env.push_back(variable.data());
    argv.push_back(nullptr);
    env.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    const std::string out = (folder_.path() / name).string();
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t interrupt;  // which a shell's background job ignores, and the program then too
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    posix_spawnattr_setsigdefault(&attributes, &interrupt);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    pid_t pid = 0;
    EXPECT_EQ(posix_spawn(&pid, program().c_str(), &files, &attributes, argv.data(), env.data()), 0);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return pid;
  }

  static int end_of(pid_t pid) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  // Waits for what a program does; a minute is for machines that do much else.
  static void until(const std::function<bool()>& done, const std::string& what) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!done()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "waited in vain: " << what;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  // How much of the weights has arrived; nothing when no program has begun with them.
  std::uintmax_t arrived(const ServedFiles& files) const {
    std::error_code none;
    const auto size = fs::file_size(
        repo("org--m") / "blobs" / (sha256_digest(files.at("model.safetensors").bytes) + ".incomplete"), none);
    return none ? 0 : size;
  }

  std::string said(const std::string& name) const { return read(folder_.path() / name); }

  // A cache that holds the model, whole, and nothing half done.
  void expect_right(const ServedFiles& files) {
    const fs::path snapshot = repo("org--m") / "snapshots" / kCommit;
    for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"}) {
      EXPECT_EQ(read(snapshot / name), files.at(name).bytes) << name;
    }
    EXPECT_EQ(read(repo("org--m") / "refs" / "main"), kCommit);
    for (const auto& entry : fs::directory_iterator(repo("org--m") / "blobs")) {
      const std::string name = entry.path().filename(), bytes = read(entry.path());
      EXPECT_EQ(name, name.size() == 64 ? sha256_digest(bytes) : git_digest(bytes));
    }
    for (const auto& entry : fs::directory_iterator(repo("org--m") / "refs"))
      EXPECT_EQ(entry.path().filename(), "main");
  }
};

TEST_F(HubPrograms, ShareTheWorkOfOneModel) {
  const ServedFiles files = a_model("", 300'000);
  server_.put("org/m", "main", kCommit, files);
  server_.fault({.method = "GET", .path = "/cdn/", .times = 9, .bytes_per_ms = 300});
  std::vector<pid_t> programs;
  for (int i = 0; i < 3; ++i) programs.push_back(start({"download", "org/m"}, fmt::format("out{}", i)));
  for (const pid_t pid : programs) EXPECT_EQ(end_of(pid), 0);
  for (int i = 0; i < 3; ++i) EXPECT_THAT(said(fmt::format("out{}", i)), HasSubstr("snapshots/" + kCommit + "\n"));
  expect_right(files);
  EXPECT_EQ(server_.count("GET", "/cdn/"), 1);
  EXPECT_EQ(server_.count("GET", "/api/resolve-cache"), 2);  // config and tokenizer, once each
}

// The lock is huggingface_hub's: flock on .locks/models--org--m/ETAG.lock.
TEST_F(HubPrograms, WaitForWhoeverHoldsTheLock) {
  const ServedFiles files = a_model();
  server_.put("org/m", "main", kCommit, files);
  const fs::path lock =
      settings_.cache / ".locks" / "models--org--m" / (sha256_digest(files.at("model.safetensors").bytes) + ".lock");
  fs::create_directories(lock.parent_path());
  const int held = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0664);
  ASSERT_EQ(::flock(held, LOCK_EX), 0);
  const pid_t pid = start({"download", "org/m"}, "out");
  const std::string waits = "another program is fetching model.safetensors; waiting for it";
  until([&] { return said("out").find(waits) != std::string::npos; }, waits);
  EXPECT_EQ(server_.count("GET", "/cdn/"), 0);
  ::close(held);
  EXPECT_EQ(end_of(pid), 0);
  expect_right(files);
}

// Whatever a kill leaves, the next run ends with a cache that is right, and nothing that had arrived is asked for
// again. Killed while it waits for an answer that never comes whole: of a small file, or of the weights after so many
// bytes.
TEST_F(HubPrograms, MendWhatAKillLeft) {
  const ServedFiles files = a_model("", 200'000);
  server_.put("org/m", "main", kCommit, files);
  struct Moment {
    std::string path;
    std::size_t bytes;
  };
  for (const Moment& m : {Moment{"/api/", 0},
                          {"/api/resolve-cache", 0},
                          {"/api/resolve-cache", 2},
                          {"/cdn/", 0},
                          {"/cdn/", 1},
                          {"/cdn/", 70'000},
                          {"/cdn/", 199'999}}) {
    SCOPED_TRACE(fmt::format("killed after {} bytes of {}", m.bytes, m.path));
    fs::remove_all(settings_.cache);
    server_.forget();
    server_.fault({.method = "GET", .path = m.path, .times = 1, .stall_after = m.bytes});
    const pid_t pid = start({"download", "org/m"}, "out");
    until([&] { return server_.count("GET", m.path) > 0; }, m.path + " is asked for");
    if (m.path == "/cdn/") until([&] { return arrived(files) == m.bytes; }, "all that was sent is kept");
    ::kill(pid, SIGKILL);
    EXPECT_EQ(end_of(pid), 128 + SIGKILL);
    server_.forget();
    EXPECT_EQ(end_of(start({"download", "org/m"}, "out")), 0) << said("out");
    expect_right(files);
    EXPECT_EQ(server_.count("GET", "/cdn/"), 1);
    if (m.path == "/cdn/" && m.bytes > 0) {
      EXPECT_EQ(server_.last_large().range, fmt::format("bytes={}-", m.bytes));
    }
  }
}

TEST_F(HubPrograms, EndOnCtrlCInAnOrderlyWay) {
  const ServedFiles files = a_model("", 300'000);
  server_.put("org/m", "main", kCommit, files);
  server_.fault({.method = "GET", .path = "/cdn/", .stall_after = 100'000});
  const pid_t pid = start({"download", "org/m"}, "out");
  until([&] { return arrived(files) > 0; }, "some of the weights arrive");
  ::kill(pid, SIGINT);
  EXPECT_EQ(end_of(pid), 128 + SIGINT);
  EXPECT_THAT(said("out"), HasSubstr("what has arrived is kept"));
  EXPECT_EQ(end_of(start({"download", "org/m"}, "out")), 0);
  EXPECT_THAT(server_.last_large().range, HasSubstr("bytes="));
}

TEST_F(HubPrograms, FindDamageThatLeavesTheSizeAsItWas) {
  server_.put("org/m", "main", kCommit, a_model("", 300'000));
  const auto verify = [this](std::vector<std::string> what) {
    what.insert(what.begin(), {"cache", "verify"});
    return end_of(start(what, "out"));
  };
  ASSERT_EQ(end_of(start({"download", "org/m"}, "out")), 0);
  EXPECT_EQ(verify({}), 0);
  EXPECT_EQ(said("out"), "3 files verified, 0 damaged\n");
  const fs::path snapshot = repo("org--m") / "snapshots" / kCommit;
  for (const char* name : {"model.safetensors", "tokenizer.json"}) {  // named by SHA-256, and as git names a blob
    const fs::path blob = fs::canonical(snapshot / name);
    fs::permissions(blob, fs::perms::owner_write, fs::perm_options::add);
    std::fstream(blob, std::ios::in | std::ios::out | std::ios::binary).seekp(1).put('\x01');
    EXPECT_EQ(end_of(start({"download", "org/m"}, "out")), 0) << "its size is right";
    EXPECT_EQ(verify({"org/m@main"}), 1);
    EXPECT_THAT(said("out"), AllOf(HasSubstr(blob.string() + ": damaged"), HasSubstr("3 files verified, 1 damaged")));
    fs::remove(blob);
    EXPECT_EQ(end_of(start({"download", "org/m"}, "out")), 0);
    EXPECT_EQ(verify({kCommit}), 0);
  }
  EXPECT_EQ(verify({"other"}), 2);
}

ServedFiles files_of(const fs::path& folder) {
  ServedFiles files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    files[entry.path().filename()] = {read(entry.path()), entry.path().extension() == ".safetensors"};
  }
  return files;
}

TEST_F(HubPrograms, CheckAModelOfTheHubWithOneCommand) {
  server_.put("org/tiny", "main", kCommit, files_of(source() / "models/tiny-gpt2"));
  EXPECT_EQ(end_of(start({"check", "org/tiny"}, "out")), 0);
  EXPECT_THAT(said("out"), AllOf(HasSubstr("note: downloading org/tiny from 127.0.0.1"),
                                 HasSubstr("\norg/tiny · GPT-2"), HasSubstr("identical")));
  server_.forget();
  EXPECT_EQ(end_of(start({"check", "org/tiny"}, "out")), 0);
  EXPECT_TRUE(server_.asked().empty());
}

TEST_F(HubPrograms, CheckAGgufFileOfTheHubWithOneCommand) {
  server_.put("org/tiny-GGUF", "main", kCommit,
              {{"config.json", {"{}"}},
               {"tiny-F16.gguf", {read(source() / "tests/golden/gguf/qwen2-plain.gguf"), true}},
               {"tiny-Q8_0.gguf", {"not needed", true}}});
  for (const char* model : {"org/tiny-GGUF:f16", "org/tiny-GGUF/tiny-F16.gguf"}) {
    EXPECT_EQ(end_of(start({"check", model, "--ids", "1,2,3,4,5"}, "out")), 0) << said("out");
    EXPECT_THAT(said("out"), AllOf(HasSubstr("tiny-F16"), HasSubstr("identical")));
  }
  EXPECT_EQ(server_.count("GET", "/cdn/"), 1);
}

// Repositories of 2023: code that the config asks to run, a config in the words of that code. None of it is fetched.
TEST_F(HubPrograms, LoadRepositoriesOf2023WithoutTheirCode) {
  for (const char* name : {"mpt-2023-config", "falcon-7b-2023-dialect"}) {
    ServedFiles files = files_of(source() / "tests/golden/data" / name);
    std::string& config = files["config.json"].bytes;
    config.insert(config.find('{') + 1, R"("auto_map": {"AutoConfig": "configuration_x.Config", )"
                                        R"("AutoModelForCausalLM": "modeling_x.Model"},)");
    files["configuration_x.py"] = {"raise SystemExit('this code must not run')"};
    files["modeling_x.py"] = {"raise SystemExit('this code must not run')"};
    files["handler.py"] = {"raise SystemExit('this code must not run')"};
    server_.put(fmt::format("org/{}", name), "main", kCommit, files);
    EXPECT_EQ(end_of(start({"check", fmt::format("org/{}", name), "--ids", "1,2,3,4,5"}, "out")), 0) << said("out");
    EXPECT_THAT(said("out"), HasSubstr("identical"));
  }
  EXPECT_EQ(server_.count("GET", ".py") + server_.count("HEAD", ".py"), 0);
}

}  // namespace
}  // namespace pkv::support

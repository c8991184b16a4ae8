#include "base/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <span>
#include <vector>

#include "base/error.h"

// In place of libc's, to know who calls it.
static int umask_calls = 0;
extern "C" mode_t umask(mode_t mask) noexcept {
  ++umask_calls;
  return static_cast<mode_t>(::syscall(SYS_umask, mask));
}

namespace pkv {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class Files : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_ = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
};

std::string error_of(const auto& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST_F(Files, WrittenBesideAndRenamed) {
  const fs::path path = folder_ / "a";
  write_file(path, "one");
  {
    FileWriter writer(path);
    writer.write("two");  // never committed
  }
  EXPECT_EQ(read_file(path, 10), "one");
  write_file(path, "three");
  EXPECT_EQ(read_file(path, 10), "three");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
}

TEST_F(Files, ALinkIsWrittenThrough) {
  write_file(folder_ / "real", "one");
  fs::create_symlink("real", folder_ / "link");
  fs::create_symlink("link", folder_ / "again");
  write_file(folder_ / "again", "two");
  EXPECT_TRUE(fs::is_symlink(folder_ / "again"));
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_EQ(read_file(folder_ / "real", 10), "two");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 3);
  fs::create_symlink("nothing", folder_ / "dangling");
  EXPECT_THAT(error_of([&] { write_file(folder_ / "dangling", "x"); }), HasSubstr("dangling: is a link to nothing"));
  EXPECT_TRUE(fs::is_symlink(folder_ / "dangling"));
}

TEST_F(Files, WhatIsNoRegularFileIsWrittenDirectly) {
  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const int reader = ::open(pipe.c_str(), O_RDWR | O_CLOEXEC);  // so that the writer need not wait
  ASSERT_GE(reader, 0);
  write_file(pipe, "text");
  std::string found(4, ' ');
  EXPECT_EQ(::read(reader, found.data(), found.size()), 4);
  EXPECT_EQ(found, "text");
  ::close(reader);
  EXPECT_TRUE(fs::is_fifo(pipe));
  EXPECT_THAT(error_of([&] { FileWriter(pipe, true); }), HasSubstr("pipe: is not a regular file"));
  EXPECT_THAT(error_of([&] { FileWriter writer(folder_); }), HasSubstr("cannot write here: Is a directory"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
}

// A thread that asks for the umask sets it, for a moment, for those that make files at the same time.
TEST_F(Files, LeaveTheUmaskAlone) {
  const mode_t mask = ::umask(027);
  const int before = umask_calls;
  FileWriter file(folder_ / "a"), own(folder_ / "own", true);
  file.commit();
  own.commit();
  FolderWriter folder(folder_ / "f");
  folder.commit();
  EXPECT_EQ(umask_calls, before);
  ::umask(mask);
  EXPECT_EQ(fs::status(folder_ / "a").permissions(), fs::perms(0640));
  EXPECT_EQ(fs::status(folder_ / "own").permissions(), fs::perms(0600));
  EXPECT_EQ(fs::status(folder_ / "f").permissions(), fs::perms(0750));
}

TEST_F(Files, ALinkToNothingIsNotAbsence) {
  write_file(folder_ / "a", "x");
  fs::create_symlink("a", folder_ / "link");
  fs::create_symlink("none", folder_ / "dangling");
  EXPECT_TRUE(is_present(folder_ / "a") && is_present(folder_ / "link") && is_present(folder_));
  EXPECT_FALSE(is_present(folder_ / "none"));
  EXPECT_THAT(error_of([&] { is_present(folder_ / "dangling"); }),
              AllOf(HasSubstr("dangling: is a link to a file that is not there"), HasSubstr("none")));
  EXPECT_THAT(error_of([&] { is_present(folder_ / std::string(300, 'n')); }), HasSubstr("cannot open"));
}

TEST_F(Files, HintsLeaveMemoryElsewhereAlone) {
  write_file(folder_ / "a", "abc");
  const MappedFile file(folder_ / "a");
  const std::vector<char> other(1 << 20, 'x');  // many whole pages, which the kernel would drop
  file.done_with(std::as_bytes(std::span(other)));
  EXPECT_EQ(std::count(other.begin(), other.end(), 'x'), 1 << 20);
}

TEST_F(Files, MappedBytesAreTheFile) {
  write_file(folder_ / "a", "hello");
  const MappedFile file(folder_ / "a");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()), "hello");
  write_file(folder_ / "empty", "");
  EXPECT_TRUE(MappedFile(folder_ / "empty").bytes().empty());
}

TEST_F(Files, StateTellsAFileFromAChangedOne) {
  write_file(folder_ / "a", "hello");
  EXPECT_EQ(MappedFile(folder_ / "a").state(), "") << "changed just now, so that another change could go unseen";
  const fs::path old = "/bin/cat";
  const MappedFile first(old), again(old);
  EXPECT_NE(first.state(), "");
  EXPECT_EQ(first.state(), again.state());
  EXPECT_NE(first.state(), MappedFile("/bin/sh").state());
}

TEST_F(Files, ErrorsNameThePath) {
  EXPECT_THAT(error_of([&] { MappedFile(folder_ / "missing"); }), HasSubstr("missing: cannot open: No such file"));
  EXPECT_THAT(error_of([&] { MappedFile{folder_}; }), HasSubstr("not a regular file"));
  EXPECT_THAT(error_of([&] { write_file(folder_ / "no" / "where", "x"); }),
              AllOf(HasSubstr("cannot write here"), HasSubstr("try:      a file in a folder that exists")));
  write_file(folder_ / "big", "12345");
  EXPECT_THAT(error_of([&] { read_file(folder_ / "big", 4); }), HasSubstr("expected: at most 4 bytes"));
}

TEST_F(Files, ANamedPipeDoesNotHang) {
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { MappedFile(folder_ / "pipe"); }), HasSubstr("not a regular file"));
}

TEST_F(Files, AFolderAppearsWhenItIsComplete) {
  const fs::path place = folder_ / "made";
  {
    const FolderWriter given_up(place);
    write_file(given_up.path() / "a", "one");
    EXPECT_FALSE(fs::exists(place));
  }
  EXPECT_TRUE(fs::is_empty(folder_)) << "something was left behind";
  fs::create_directories(place);  // empty, so it may be replaced
  FolderWriter writer(place / "");
  write_file(writer.path() / "a", "two");
  writer.require_space(1);
  writer.commit();
  EXPECT_EQ(read_file(place / "a", 10), "two");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

TEST_F(Files, AFolderTakesNobodysPlace) {
  write_file(folder_ / "file", "x");
  fs::create_directories(folder_ / "full" / "inner");
  EXPECT_THAT(error_of([&] { FolderWriter writer(folder_ / "file"); }),
              AllOf(HasSubstr("file: there is something here already"), HasSubstr("found:    a file")));
  EXPECT_THAT(error_of([&] { FolderWriter writer(folder_ / "full"); }), HasSubstr("a folder with files in it"));
  EXPECT_THAT(error_of([&] { FolderWriter writer(folder_ / "none" / "new"); }), HasSubstr("none: no such folder"));
  EXPECT_THAT(error_of([&] { FolderWriter(folder_ / "new").require_space(~std::uint64_t{0}); }),
              AllOf(HasSubstr("not enough space"), HasSubstr("bytes free")));
  FolderWriter late(folder_ / "late");
  fs::create_directories(folder_ / "late" / "inner");
  EXPECT_THAT(error_of([&] { late.commit(); }), HasSubstr("there is something here already"));
}

// Whether the system gives its copy up depends on the file system; what the file says does not.
TEST_F(Files, LeaveThePageCacheUnharmed) {
  const std::string text(100'000, 'x');
  write_file(folder_ / "file", text);
  leave_page_cache(folder_ / "file");
  EXPECT_EQ(read_file(folder_ / "file", text.size()), text);
  write_file(folder_ / "empty", "");
  EXPECT_TRUE(leave_page_cache(folder_ / "empty"));
  const MappedFile held(folder_ / "file");
  EXPECT_EQ(held.text(), text);
  EXPECT_FALSE(leave_page_cache(folder_ / "file")) << "a page that is mapped stays in memory";
  EXPECT_THAT(error_of([&] { leave_page_cache(folder_ / "none"); }), HasSubstr("cannot open"));
}

}  // namespace
}  // namespace pkv

#include "files/containers/zip.h"

#include "unit/files/archives.h"
#include "unit/files/support.h"

namespace pkv::containers {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string refused(const std::string& bytes) {
  return error_of([&] { read_zip(as_bytes(bytes), "f"); });
}

ZipMaker two() {
  ZipMaker zip;
  zip.add("b/y", "hello");
  zip.add("a/x", "");
  zip.add("a/z", std::string(3000, 'z'));
  return zip;
}

TEST(Zip, EntriesAreSortedAndInPlace) {
  for (const bool zip64 : {false, true}) {
    ZipMaker zip = two();
    zip.zip64 = zip64;
    const std::string bytes = zip.bytes();
    const auto entries = read_zip(as_bytes(bytes), "f");
    ASSERT_EQ(entries.size(), 3u);
    EXPECT_EQ(entries[0].name, "a/x");
    EXPECT_TRUE(entries[0].data.empty());
    EXPECT_EQ(entries[1].name, "a/z");
    EXPECT_EQ(entries[1].data.size(), 3000u);
    EXPECT_EQ(entries[2].data.data(), as_bytes(bytes).data() + 30 + 3);
    EXPECT_EQ(entries[2].data.size(), 5u);
  }
}

TEST(Zip, TruncatedAtEveryByte) {
  const std::string whole = two().bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(refused(whole.substr(0, size)), "no error") << size;
  }
}

TEST(Zip, EveryByteChanged) {
  const std::string whole = two().bytes();
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const char to : {'\0', '\1', '\x7f', '\xff'}) {
      std::string changed = whole;
      changed[i] = to;
      refused(changed);  // a load error or none, and no read outside: the sanitizer watches
    }
  }
}

TEST(Zip, WhatIsNone) {
  EXPECT_THAT(refused(""), HasSubstr("f: is not a zip archive"));
  EXPECT_THAT(refused("<html>"), AllOf(HasSubstr("is not a zip archive"), HasSubstr("found:    '<html>'")));
  EXPECT_THAT(refused("PK\3\4 and no more"), AllOf(HasSubstr("without its end"), HasSubstr("truncated")));
  EXPECT_THAT(refused(two().bytes() + "x"), AllOf(HasSubstr("bytes after the end"), HasSubstr("1 bytes")));
  EXPECT_THAT(refused(two().bytes() + two().bytes()), HasSubstr("more than one end"));
}

TEST(Zip, NamesThatLeadOutside) {
  for (const std::string bad : {"../x", "a/../x", "a/..", "..", "/etc/passwd", "a\\b", "a\nb", ""}) {
    ZipMaker zip;
    zip.add(bad, "x");
    EXPECT_THAT(refused(zip.bytes()), HasSubstr("name leads outside the archive")) << bad;
  }
  ZipMaker zip;
  zip.add("a/..b/c..", "x");
  EXPECT_EQ(read_zip(as_bytes(zip.bytes()), "f").size(), 1u);
  zip.add("a/..b/c..", "y");
  EXPECT_THAT(refused(zip.bytes()), AllOf(HasSubstr("entry 'a/..b/c..'"), HasSubstr("appears twice")));
}

TEST(Zip, CompressedAndEncryptedEntries) {
  ZipMaker zip;
  zip.add("a/x", "x", 8);
  EXPECT_THAT(refused(zip.bytes()),
              AllOf(HasSubstr("entry 'a/x': is compressed"), HasSubstr("method 8"), HasSubstr("zip -0")));
  ZipMaker secret;
  secret.add("a/x", std::string(20, 'x'), 0, 1);
  EXPECT_THAT(refused(secret.bytes()), HasSubstr("entry 'a/x': is encrypted"));
}

TEST(Zip, SizesAndPlacesThatAreNotThere) {
  ZipMaker large = two();
  large.entries[0].size = 1 << 20;
  EXPECT_THAT(refused(large.bytes()), HasSubstr("entry 'b/y': data lies beyond the end of the file"));
  large.zip64 = true;
  large.entries[0].size = std::uint64_t{1} << 62;
  EXPECT_NE(refused(large.bytes()), "no error");
  ZipMaker far = two();
  far.entries[0].offset = 1 << 30;
  EXPECT_NE(refused(far.bytes()), "no error");
  ZipMaker same = two();
  same.entries[2].offset = same.entries[0].offset;
  EXPECT_THAT(refused(same.bytes()), HasSubstr("overlaps another entry"));
}

TEST(Zip, CountsThatWouldTakeMemory) {
  ZipMaker zip = two();
  zip.zip64 = true;
  for (const std::uint64_t count : {std::uint64_t{65'537}, std::uint64_t{1} << 32, ~std::uint64_t{0}}) {
    zip.count = count;
    EXPECT_THAT(refused(zip.bytes()), AllOf(HasSubstr("too many entries"), HasSubstr("at most 65536")));
  }
  zip.count = 60'000;
  EXPECT_NE(refused(zip.bytes()), "no error");
}

}  // namespace
}  // namespace pkv::containers

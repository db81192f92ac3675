// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/kernel_cache.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// The smallest file that has what is looked at.
std::string BzImage(const std::string& version) {
  std::string bytes(0x400, '\0');
  bytes[0x1fe] = '\x55';
  bytes[0x1ff] = '\xaa';
  bytes.replace(0x202, 4, "HdrS");
  bytes[0x211] = 1;
  bytes[0x20f] = 1;  // kernel_version: 0x100 behind 0x200
  bytes.replace(0x300, version.size(), version);
  return bytes;
}

class KernelCacheTest : public ::testing::Test {
 protected:
  KernelCacheTest() {
    directory_ = ::testing::TempDir() + "/kernel_cache_test.XXXXXX";
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
    setenv("LOCKSTEP_CACHE", directory_.c_str(), 1);
  }
  ~KernelCacheTest() override {
    unsetenv("LOCKSTEP_CACHE");
    std::filesystem::remove_all(directory_);
  }
  std::string Write(const std::string& name, const std::string& bytes) {
    const std::string path = absl::StrCat(directory_, "/", name);
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  std::string directory_;
};

TEST_F(KernelCacheTest, FindsAVersionInTheCache) {
  mkdir((directory_ + "/kernels").c_str(), 0755);
  mkdir((directory_ + "/kernels/6.1").c_str(), 0755);
  const std::string path =
      Write("kernels/6.1/vmlinuz", BzImage("6.1.0-56-cloud-amd64 (x@y) #1"));
  auto image = FindKernelImage("6.1");
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->path, path);
  EXPECT_EQ(image->release, "6.1.0-56-cloud-amd64");
}

TEST_F(KernelCacheTest, AMissingVersionNamesTheCommandThatFetchesIt) {
  auto image = FindKernelImage("6.12");
  EXPECT_TRUE(absl::IsUnavailable(image.status()));
  EXPECT_THAT(image.status().message(),
              AllOf(HasSubstr(directory_ + "/kernels/6.12/vmlinuz"),
                    HasSubstr("ci/fetch-kernels.sh 6.12")));
}

TEST_F(KernelCacheTest, TakesAPath) {
  const std::string path = Write("bzImage", BzImage("4.19.0"));
  auto image = FindKernelImage(path);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->release, "4.19.0");
}

TEST_F(KernelCacheTest, RefusesWhatIsNoKernel) {
  EXPECT_TRUE(absl::IsNotFound(FindKernelImage("/no/such").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(FindKernelImage(directory_).status()));
  const std::string text = Write("text", "hello");
  auto image = FindKernelImage(text);
  EXPECT_TRUE(absl::IsInvalidArgument(image.status()));
  EXPECT_THAT(image.status().message(),
              AllOf(HasSubstr(text), HasSubstr("bzImage")));
}

TEST_F(KernelCacheTest, ReadsNoByteBehindTheFile) {
  // The header says that the version is where the file has ended.
  std::string bytes = BzImage("6.1");
  bytes[0x20f] = '\xff';
  EXPECT_TRUE(absl::IsInvalidArgument(ReleaseOfBzImage(bytes, "x").status()));
  // A version without an end.
  bytes = BzImage("6.1");
  bytes.replace(0x300, 0x100, std::string(0x100, 'x'));
  EXPECT_TRUE(absl::IsInvalidArgument(ReleaseOfBzImage(bytes, "x").status()));
  for (size_t size = 0; size < 0x300; ++size) {
    bytes = BzImage("6.1");
    bytes.resize(size);
    EXPECT_FALSE(ReleaseOfBzImage(bytes, "x").ok()) << size;
  }
}

TEST_F(KernelCacheTest, TheCacheIsWhereTheEnvironmentSays) {
  EXPECT_EQ(*CacheDirectory(), directory_);
  setenv("LOCKSTEP_CACHE", "", 1);
  setenv("XDG_CACHE_HOME", "/x", 1);
  EXPECT_EQ(*CacheDirectory(), "/x/lockstep");
  unsetenv("XDG_CACHE_HOME");
  setenv("HOME", "/h", 1);
  EXPECT_EQ(*CacheDirectory(), "/h/.cache/lockstep");
  unsetenv("HOME");
  EXPECT_TRUE(absl::IsNotFound(CacheDirectory().status()));
}

}  // namespace
}  // namespace lockstep

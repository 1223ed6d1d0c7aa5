// Model arguments: folders, and repository ids in a cache laid out as the hub client does.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "checkpoint/checkpoint.h"
#include "checkpoint/checkpoint_files.h"

namespace qwenvl {
namespace {

constexpr const char* kVariables[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",
                                      "XDG_CACHE_HOME", "HOME"};
constexpr const char* kRepository = "models--org--name";
constexpr const char* kHash = "66285546d2b821cf421d4f5eb2576359d3770cd3";

class ModelFolder : public testing::Test {
 protected:
  // Every test begins without a cache and leaves the environment as it was.
  void SetUp() override {
    for (const char* name : kVariables) {
      const char* value = std::getenv(name);
      before_.emplace_back(name, value ? value : "");
      ::unsetenv(name);
    }
    ::setenv("HF_HUB_CACHE", (folder_.path() / "cache").c_str(), 1);
  }
  void TearDown() override {
    for (const auto& [name, value] : before_) {
      if (value.empty())
        ::unsetenv(name.c_str());
      else
        ::setenv(name.c_str(), value.c_str(), 1);
    }
  }

  std::filesystem::path snapshot(const std::string& cache = "cache",
                                 const std::string& hash = kHash) const {
    return std::filesystem::path(cache) / kRepository / "snapshots" / hash;
  }
  void write_repository(const std::string& cache = "cache") const {
    folder_.write(std::filesystem::path(cache) / kRepository / "refs/main",
                  std::string(kHash) + "\n");
    folder_.write(snapshot(cache) / "config.json", "{}");
    folder_.write(snapshot(cache) / "model.safetensors", "weights");
  }
  std::string refusal(const std::string& model) const {
    return error_of([&] { resolve_model(model); });
  }

  TemporaryFolder folder_;

 private:
  std::vector<std::pair<std::string, std::string>> before_;
};

TEST_F(ModelFolder, ARepositoryIsInTheCacheFromTheBeginningOfItsDownload) {
  EXPECT_FALSE(is_in_cache("org/name"));
  EXPECT_FALSE(is_in_cache("no id"));
  std::filesystem::create_directories(folder_.path() / "cache" / kRepository / "blobs");
  EXPECT_TRUE(is_in_cache("org/name"));
  EXPECT_TRUE(is_in_cache("org/name@main"));
}

TEST_F(ModelFolder, AnExistingFolderIsTakenAsItIs) {
  folder_.write("m/config.json", "{}");
  EXPECT_EQ(resolve_model((folder_.path() / "m").string()), folder_.path() / "m");
}

TEST_F(ModelFolder, AnIdIsFoundThroughTheMainRef) {
  write_repository();
  EXPECT_EQ(resolve_model("org/name"), folder_.path() / snapshot());
}

TEST_F(ModelFolder, ARevisionIsARefOrAHash) {
  write_repository();
  folder_.write("cache/models--org--name/refs/refs/pr/1", "abc");
  folder_.write(snapshot("cache", "abc") / "config.json", "{}");
  EXPECT_EQ(resolve_model("org/name@refs/pr/1"), folder_.path() / snapshot("cache", "abc"));
  EXPECT_EQ(resolve_model(std::string("org/name@") + kHash), folder_.path() / snapshot());
}

TEST_F(ModelFolder, TheCacheIsWhereTheHubClientPutsIt) {
  const std::string base = folder_.path().string();
  const std::pair<const char*, const char*> places[] = {{"HF_HUB_CACHE", "a"},
                                                        {"HUGGINGFACE_HUB_CACHE", "b"},
                                                        {"HF_HOME", "c/hub"},
                                                        {"XDG_CACHE_HOME", "d/huggingface/hub"},
                                                        {"HOME", "e/.cache/huggingface/hub"}};
  for (const auto& [name, place] : places) {
    for (const char* other : kVariables) ::unsetenv(other);
    ::setenv(name, (base + "/" + place[0]).c_str(), 1);
    write_repository(place);
    EXPECT_EQ(resolve_model("org/name"), folder_.path() / snapshot(place)) << name;
  }
}

TEST_F(ModelFolder, AMissingModelIsReportedWithThePlaceAndTheCommand) {
  const std::string error = refusal("org/name@v2");
  EXPECT_TRUE(contains(error, "bad_request: model 'org/name'"));
  EXPECT_TRUE(contains(error, (folder_.path() / "cache").string()));
  EXPECT_TRUE(contains(error, "hf download org/name --revision v2"));
}

TEST_F(ModelFolder, AMissingRevisionIsReported) {
  write_repository();
  EXPECT_TRUE(contains(refusal("org/name@v2"), "no revision 'v2'"));
}

TEST_F(ModelFolder, AnIncompleteSnapshotIsReported) {
  write_repository();
  std::filesystem::remove(folder_.path() / snapshot() / "config.json");
  EXPECT_TRUE(contains(refusal("org/name"), "lacks 'config.json'; complete the download with"));
  folder_.write(snapshot() / "config.json", "{}");
  folder_.write(snapshot() / "model.safetensors.index.json",
                R"({"weight_map": {"a": "model-00001-of-00001.safetensors"}})");
  EXPECT_TRUE(contains(refusal("org/name"), "lacks 'model-00001-of-00001.safetensors'"));
}

TEST_F(ModelFolder, GgufFilesAndFoldersOfThemAreModels) {
  folder_.write("some/model-Q4_K.gguf", "x");
  const std::string file = folder_ / "some/model-Q4_K.gguf";
  EXPECT_EQ(resolve_model(file), file);
  EXPECT_EQ(resolve_model(folder_ / "some"), folder_ / "some");
  EXPECT_TRUE(contains(refusal(folder_ / "some/other.gguf"), "no such folder or .gguf file"));
}

TEST_F(ModelFolder, ASnapshotOfGgufFilesIsComplete) {
  write_repository();
  std::filesystem::remove_all(folder_.path() / snapshot());
  folder_.write(snapshot() / "model-Q4_K.gguf", "x");
  EXPECT_EQ(resolve_model("org/name"), folder_.path() / snapshot());
}

TEST_F(ModelFolder, ADamagedRefIsReported) {
  write_repository();
  folder_.write("cache/models--org--name/refs/main", "../../../elsewhere");
  EXPECT_TRUE(contains(refusal("org/name"), "expected a commit hash"));
}

TEST_F(ModelFolder, TextsThatAreNeitherFolderNorIdAreRefused) {
  write_repository();
  for (const char* model : {"", "name", "org/", "/name", "org/name/more", "../org", "org/..",
                            "org/na..me", "o rg/name", "org/name@", "org/name@../../x",
                            "org/name@/x", "org/name@a//b", "-org/name", "org\n/name"}) {
    EXPECT_TRUE(contains(refusal(model), "bad_request: model ")) << model;
  }
  folder_.write("model.bin", "x");
  EXPECT_TRUE(contains(refusal(folder_ / "model.bin"), "is a file"));
  EXPECT_TRUE(contains(refusal(folder_.path().string()), "neither config.json nor"));
  folder_.write("mmproj-f16.gguf", "x");
  EXPECT_TRUE(contains(refusal(folder_.path().string()), "nor a language model as .gguf"));
  EXPECT_NE(refusal(std::string("org/na\0me", 9)), "");
}

}  // namespace
}  // namespace qwenvl

// Model folders: single files and shards, renamed tensors, and a table of broken folders.
#include "checkpoint/checkpoint.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint_files.h"
#include "checkpoint/shard_index.h"

namespace qwenvl {
namespace {

constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kShard1 = "model-00001-of-00002.safetensors";
constexpr const char* kShard2 = "model-00002-of-00002.safetensors";

// A file with one bf16 tensor of four numbers per name.
std::string shard(const std::vector<std::string>& names) {
  std::string header = "{";
  std::size_t at = 0;
  for (const std::string& name : names) {
    if (at) header += ",";
    header += entry(name, "BF16", "[4]", at, at + 8);
    at += 8;
  }
  return safetensors_bytes(header + "}", at);
}

std::string index_of(const std::string& map, const std::string& metadata = "{}") {
  return fmt::format("{{\"metadata\": {}, \"weight_map\": {}}}", metadata, map);
}

const std::string kGoodMap =
    std::string(R"({"model.a": ")") + kShard1 + R"(", "visual.b": ")" + kShard2 + "\"}";

// A good folder of two shards; tests then break it.
void write_good_folder(const TemporaryFolder& folder) {
  folder.write("config.json", "{}");
  folder.write(kIndex, index_of(kGoodMap, "{\"total_size\": 16}"));
  folder.write(kShard1, shard({"model.a"}));
  folder.write(kShard2, shard({"visual.b"}));
}

TEST(Checkpoint, OpensShardsThroughTheIndex) {
  TemporaryFolder folder;
  write_good_folder(folder);
  folder.write("notes.txt", "hello");
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.file_of("visual.b"), kShard2);
  EXPECT_EQ(checkpoint.n_files(), 2u);
  EXPECT_EQ(checkpoint.total_bytes(), 16u);
  EXPECT_EQ(checkpoint.text_of("notes.txt"), "hello");
  EXPECT_EQ(checkpoint.text_of("absent.json"), "");
}

TEST(Checkpoint, OpensASingleFile) {
  TemporaryFolder folder;
  folder.write("config.json", "{}");
  folder.write("model.safetensors", shard({"lm_head.weight"}));
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(checkpoint.file_of("lm_head.weight"), "model.safetensors");
  EXPECT_EQ(checkpoint.tensors().at("lm_head.weight").shape, (Shape{4}));
}

TEST(Checkpoint, OpensASingleFileThatHasAnIndex) {
  TemporaryFolder folder;
  folder.write("config.json", "{}");
  folder.write("model.safetensors", shard({"model.a"}));
  folder.write(kIndex, index_of(R"({"model.a": "model.safetensors"})"));
  EXPECT_EQ(Checkpoint::open(folder.path()).n_files(), 1u);
}

TEST(Checkpoint, StaysValidWhenMoved) {
  TemporaryFolder folder;
  write_good_folder(folder);
  Checkpoint first = Checkpoint::open(folder.path());
  const Checkpoint second = std::move(first);
  EXPECT_EQ(second.tensors().at("model.a").bytes[0], std::byte{0x3f});
}

TEST(Checkpoint, FollowsLinksAsTheCacheUsesThem) {
  TemporaryFolder folder;
  folder.write("blobs/1", shard({"model.a"}));
  folder.write("snapshot/config.json", "{}");
  std::filesystem::create_symlink("../blobs/1", folder.path() / "snapshot/model.safetensors");
  EXPECT_EQ(Checkpoint::open(folder.path() / "snapshot").tensors().size(), 1u);
}

TEST(Checkpoint, TotalSizeMayBeWrittenAsAFloat) {
  TemporaryFolder folder;
  write_good_folder(folder);
  folder.write(kIndex,
               index_of(kGoodMap, R"({"total_size": 16.0, "total_parameters": 8, "x": [{}]})"));
  EXPECT_EQ(Checkpoint::open(folder.path()).tensors().size(), 2u);
}

TEST(Checkpoint, FoldsTheNamesOfAllLayouts) {
  for (const auto& [stored, canonical] : std::vector<std::pair<const char*, const char*>>{
           {"visual.blocks.0.norm1.weight", "visual.blocks.0.norm1.weight"},
           {"model.visual.blocks.0.norm1.weight", "visual.blocks.0.norm1.weight"},
           {"model.layers.3.mlp.up_proj.weight", "model.layers.3.mlp.up_proj.weight"},
           {"model.language_model.layers.3.mlp.up_proj.weight",
            "model.layers.3.mlp.up_proj.weight"},
           {"model.language_model.model.norm.weight", "model.norm.weight"},
           {"language_model.model.norm.weight", "model.norm.weight"},
           {"language_model.lm_head.weight", "lm_head.weight"},
           {"model.language_model.lm_head.weight", "lm_head.weight"},
           {"lm_head.weight", "lm_head.weight"},
           {"model.visualizer", "model.visualizer"},
           {"", ""}}) {
    EXPECT_EQ(canonical_tensor_name(stored), canonical);
  }
}

struct BrokenFolder {
  const char* name;
  std::function<void(const TemporaryFolder&)> break_it;
  const char* message;
};

void replace_index(const TemporaryFolder& folder, const std::string& text) {
  folder.write(kIndex, text);
}

// Adds the entry `name` to the map of the good index.
std::string map_with(const std::string& name, const std::string& file) {
  return kGoodMap.substr(0, kGoodMap.size() - 1) + ", \"" + name + "\": \"" + file + "\"}";
}

std::vector<BrokenFolder> broken_indexes() {
  const auto with_index = [](std::string text) {
    return [text = std::move(text)](const TemporaryFolder& folder) { replace_index(folder, text); };
  };
  return {
      {"empty index", with_index(""), "not valid JSON"},
      {"index that is no JSON", with_index("weights"), "not valid JSON"},
      {"index cut off", with_index(index_of(kGoodMap).substr(0, 40)), "not valid JSON"},
      {"index of invalid UTF-8", with_index("{\"weight_map\": {\"\xff\": \"a.safetensors\"}}"),
       "not valid JSON"},
      {"index that is a list", with_index("[]"), "an array"},
      {"index that is a text", with_index("\"x\""), "a string"},
      {"no weight_map", with_index("{\"metadata\": {}}"), "no weight_map"},
      {"empty weight_map", with_index(index_of("{}")), "no weight_map"},
      {"weight_map that is a list", with_index(index_of("[]")), "an array"},
      {"weight_map that is null", with_index(index_of("null")), "null"},
      {"weight_map of maps", with_index(index_of("{\"a\": {}}")), "an object"},
      {"weight_map of numbers", with_index(index_of("{\"a\": 1}")), "a number"},
      {"two weight_maps", with_index("{\"weight_map\": {}, \"weight_map\": {}}"), "twice"},
      {"a name twice", with_index(index_of(map_with("model.a", kShard2))), "'model.a' twice"},
      {"deeply nested", with_index("{\"metadata\": " + std::string(100000, '[')),
       "nested more than"},
      {"path upwards", with_index(index_of(map_with("c", "../model.safetensors"))),
       "inside the folder"},
      {"path upwards inside", with_index(index_of(map_with("c", "a/../../b.safetensors"))),
       "inside the folder"},
      {"absolute path", with_index(index_of(map_with("c", "/etc/x.safetensors"))),
       "inside the folder"},
      {"empty file name", with_index(index_of(map_with("c", ""))), "inside the folder"},
      {"zero byte in a file name", with_index(index_of(map_with("c", "a\\u0000.safetensors"))),
       "inside the folder"},
      {"no safetensors file", with_index(index_of(map_with("c", "config.json"))),
       "inside the folder"},
      {"the index as its own shard", with_index(index_of(map_with("c", kIndex))),
       "inside the folder"},
      {"missing shard", with_index(index_of(map_with("c", "model-00003-of-00003.safetensors"))),
       "'model-00003-of-00003.safetensors', which is not there"},
      {"name that no shard holds", with_index(index_of(map_with("c", kShard2))),
       "'c' is said to be in"},
      {"name in the other shard",
       with_index(index_of(std::string(R"({"visual.b": ")") + kShard1 + R"(", "model.a": ")" +
                           kShard2 + "\"}")),
       "holds it too"},
      {"total_size too small", with_index(index_of(kGoodMap, "{\"total_size\": 15}")),
       "total_size is 15, but the shards hold 16 bytes"},
      {"total_size negative", with_index(index_of(kGoodMap, "{\"total_size\": -1}")),
       "a negative number"},
      {"total_size a text", with_index(index_of(kGoodMap, "{\"total_size\": \"16\"}")), "a string"},
      {"total_size a fraction", with_index(index_of(kGoodMap, "{\"total_size\": 16.5}")),
       "total_size is '16.5'"},
      {"total_size huge", with_index(index_of(kGoodMap, "{\"total_size\": 1e300}")),
       "total_size is '1e300'"},
      {"total_size an object", with_index(index_of(kGoodMap, "{\"total_size\": {}}")), "an object"},
      {"total_size twice",
       with_index(index_of(kGoodMap, "{\"total_size\": 16, \"total_size\": 16}")), "twice"},
  };
}

std::vector<BrokenFolder> broken_folders() {
  namespace fs = std::filesystem;
  using Folder = const TemporaryFolder&;
  const auto only = [](const char* name) {
    return [name](Folder folder) {
      for (const char* file : {kIndex, kShard1, kShard2}) fs::remove(folder.path() / file);
      if (*name) folder.write(name, "bytes");
    };
  };
  return {
      {"no config.json", [](Folder f) { fs::remove(f.path() / "config.json"); }, "no config.json"},
      {"no weights", only(""), "no weights, expected model.safetensors"},
      {"pickled weights", only("pytorch_model.bin"), "unsupported: "},
      {"GGUF weights", only("model-q4.gguf"), "name the .gguf file of the language model itself"},
      {"an adapter", only("adapter_model.safetensors"), "merge it into its base model"},
      {"shards without their index", [](Folder f) { fs::remove(f.path() / kIndex); }, "incomplete"},
      {"an index and an unrelated file",
       [](Folder f) { f.write("model.safetensors", shard({"model.z"})); }, "remove one of them"},
      {"an empty shard", [](Folder f) { f.write(kShard1, ""); }, "too short"},
      {"a shard cut off", [](Folder f) { f.write(kShard2, shard({"visual.b"}).substr(0, 80)); },
       "truncated"},
      {"a folder instead of a shard",
       [](Folder f) {
         fs::remove(f.path() / kShard1);
         fs::create_directory(f.path() / kShard1);
       },
       "not a regular file"},
      {"a link to nowhere",
       [](Folder f) {
         fs::remove(f.path() / kShard1);
         fs::create_symlink("nowhere", f.path() / kShard1);
       },
       "not there"},
      {"a link to itself",
       [](Folder f) {
         fs::remove(f.path() / kShard1);
         fs::create_symlink(kShard1, f.path() / kShard1);
       },
       "not there"},
      {"a tensor in both shards",
       [](Folder f) {
         f.write(kShard2, shard({"model.a", "visual.b"}));
       },
       "the second one called 'model.a'"},
      {"two names for one tensor",
       [](Folder f) {
         f.write(kShard1, shard({"model.a", "model.visual.b"}));
         replace_index(f, index_of(map_with("model.visual.b", kShard1)));
       },
       "called 'visual.b'"},
      {"the same twice in a single file",
       [only](Folder f) {
         only("")(f);
         f.write("model.safetensors", shard({"model.visual.b", "visual.b"}));
       },
       "called 'visual.b'"},
      {"a tensor that the index lacks",
       [](Folder f) {
         f.write(kShard2, shard({"extra", "visual.b"}));
       },
       "'extra' in"},
  };
}

TEST(Checkpoint, BrokenFoldersEachEndInOneErrorThatNamesThePlace) {
  std::vector<BrokenFolder> table = broken_indexes();
  for (BrokenFolder& broken : broken_folders()) table.push_back(std::move(broken));
  EXPECT_GE(table.size(), 45u);
  for (const BrokenFolder& broken : table) {
    SCOPED_TRACE(broken.name);
    TemporaryFolder folder;
    write_good_folder(folder);
    broken.break_it(folder);
    const std::string error = error_of([&] { Checkpoint::open(folder.path()); });
    EXPECT_TRUE(contains(error, broken.message));
    EXPECT_TRUE(contains(error, folder.path().string()));
  }
}

TEST(Checkpoint, RefusesAPathThatIsNoFolder) {
  TemporaryFolder folder;
  folder.write("file", "x");
  EXPECT_TRUE(
      contains(error_of([&] { Checkpoint::open(folder.path() / "file"); }), "is not a folder"));
  EXPECT_TRUE(
      contains(error_of([&] { Checkpoint::open(folder.path() / "none"); }), "does not exist"));
}

}  // namespace
}  // namespace qwenvl

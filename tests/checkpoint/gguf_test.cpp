// The GGUF reader: what it accepts, and a table of broken files, each refused with one clear error
// that names the file; then pairs of files that are whole but no Qwen2.5-VL.
#include "checkpoint/gguf/gguf.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint_files.h"
#include "checkpoint/gguf/names.h"
#include "checkpoint/gguf/open.h"
#include "checkpoint/gguf/texts.h"

namespace qwenvl {
namespace {

template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
std::string u32(std::uint32_t value) { return raw(value); }
std::string u64(std::uint64_t value) { return raw(value); }
std::string text(const std::string& value) { return u64(value.size()) + value; }

std::string value_u32(const std::string& key, std::uint32_t value) {
  return text(key) + u32(4) + u32(value);
}
std::string value_text(const std::string& key, const std::string& value) {
  return text(key) + u32(8) + text(value);
}
std::string value_list(const std::string& key, std::uint32_t type, std::uint64_t count,
                       const std::string& elements) {
  return text(key) + u32(9) + u32(type) + u64(count) + elements;
}

// Dimensions as the file lists them: fastest first.
std::string tensor(const std::string& name, const std::vector<std::uint64_t>& dims,
                   std::uint32_t type, std::uint64_t offset) {
  std::string out = text(name) + u32(static_cast<std::uint32_t>(dims.size()));
  for (std::uint64_t n : dims) out += u64(n);
  return out + u32(type) + u64(offset);
}

struct Parts {
  std::vector<std::string> values, tensors;
  std::size_t n_data = 0;
  std::uint32_t version = 3;
  std::uint32_t magic = 0x46554747;
};

std::string gguf(const Parts& parts, std::size_t alignment = 32) {
  std::string out =
      u32(parts.magic) + u32(parts.version) + u64(parts.tensors.size()) + u64(parts.values.size());
  for (const std::string& value : parts.values) out += value;
  for (const std::string& entry : parts.tensors) out += entry;
  while (out.size() % alignment != 0) out.push_back('\0');
  return out + std::string(parts.n_data, '\x3f');
}

GgufFile parse(const std::string& bytes) {
  return parse_gguf({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, "some.gguf");
}

TEST(Gguf, ReadsValuesAndTensorsOfBothVersions) {
  for (std::uint32_t version : {2u, 3u}) {
    const std::string bytes = gguf(
        {{value_u32("a.count", 7), value_text("a.name", "hello"),
          value_u32("general.alignment", 64), value_list("a.list", 6, 2, raw(1e-6f) + raw(2.5f)),
          value_list("a.words", 8, 2, text("x") + text("")), text("a.flag") + u32(7) + "\1",
          text("a.small") + u32(1) + raw(std::int8_t{-3})},
         {tensor("m", {32, 3}, 8, 0), tensor("v", {5}, 0, 128)},
         128 + 20,
         version},
        64);
    const GgufFile file = parse(bytes);
    EXPECT_EQ(file.metadata.integer("a.count", 0, 10), 7);
    EXPECT_EQ(file.metadata.integer("a.small", -5, 10), -3);
    EXPECT_EQ(file.metadata.text("a.name"), "hello");
    EXPECT_EQ(file.metadata.boolean("a.flag"), true);
    EXPECT_EQ(file.metadata.numbers("a.list", 0, 10), (std::vector<double>{1e-6, 2.5}));
    EXPECT_EQ(file.metadata.integer("absent", 0, 10), std::nullopt);
    std::string words;
    EXPECT_TRUE(file.metadata.each_text("a.words", [&](std::size_t i, std::string_view word) {
      words += std::to_string(i) + ":" + std::string(word) + " ";
    }));
    EXPECT_EQ(words, "0:x 1: ");
    EXPECT_EQ(file.tensors.at("m").shape, (Shape{3, 32}));
    EXPECT_EQ(file.tensors.at("m").type->name, std::string("Q8_0"));
    EXPECT_EQ(file.tensors.at("m").bytes.size(), 3u * 34);
    EXPECT_EQ(file.tensors.at("v").bytes.data() - file.tensors.at("m").bytes.data(), 128);
  }
}

TEST(Gguf, ValuesOfAnotherTypeOrSizeAreRefusedByName) {
  const std::string bytes =
      gguf({{value_u32("n", 7), value_text("t", "x"), text("flag") + u32(7) + "\2",
             text("nan") + u32(6) + u32(~0u), text("wide") + u32(10) + u64(~0ull),
             value_list("list", 4, 1, u32(5))},
            {}});
  const GgufFile file = parse(bytes);
  const GgufMetadata& data = file.metadata;
  const std::vector<std::function<void()>> wrong = {
      [&] { data.integer("n", 0, 6); },
      [&] { data.integer("t", 0, 6); },
      [&] { data.integer("list", 0, 6); },
      [&] { data.integer("wide", 0, INT64_MAX); },
      [&] { data.number("nan", -1e9, 1e9); },
      [&] { data.number("t", 0, 1); },
      [&] { data.text("n"); },
      [&] { data.boolean("n"); },
      [&] { data.boolean("flag"); },
      [&] { data.integers("n", 0, 9); },
      [&] { data.integers("list", 0, 4); },
      [&] { data.numbers("t", 0, 4); },
      [&] { data.each_text("list", [](std::size_t, std::string_view) {}); }};
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    EXPECT_TRUE(contains(error_of(wrong[i]), "bad_file: some.gguf: metadata '")) << i;
  }
  EXPECT_TRUE(contains(error_of([&] { data.required("k", data.text("k")); }), "lacks 'k'"));
}

struct Broken {
  const char* name;
  std::string bytes;
  const char* message;  // part of the expected error
};

// A file with this head instead of counts that fit.
std::string counts(std::uint64_t n_tensors, std::uint64_t n_values) {
  return u32(0x46554747) + u32(3) + u64(n_tensors) + u64(n_values) + std::string(64, '\0');
}
std::string with_value(const std::string& value) { return gguf({{value}, {}}); }
std::string with_tensors(std::vector<std::string> tensors, std::size_t n_data) {
  return gguf({{}, std::move(tensors), n_data});
}

std::vector<Broken> broken_heads() {
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 60;
  return {
      {"empty file", "", "the magic number takes 4 bytes at byte 0"},
      {"another format", "PK\3\4 not a model at all", "does not begin with 'GGUF'"},
      {"version 1", gguf({{}, {}, 0, 1}), "unsupported: some.gguf: GGUF version 1"},
      {"version 4", gguf({{}, {}, 0, 4}), "unsupported: some.gguf: GGUF version 4"},
      {"big-endian", gguf({{}, {}, 0, 0x03000000}), "a big-endian GGUF file"},
      {"only the magic", "GGUF", "the version takes 4 bytes"},
      {"2^60 tensors", counts(kHuge, 0), "the number of tensors is 1152921504606846976, more than"},
      {"2^60 values", counts(0, kHuge), "the number of metadata values is 1152921504606846976"},
      {"more tensors than bytes", counts(9, 0), "more than the 64 bytes left could hold"},
      {"empty key", with_value(value_u32("", 1)), "a metadata key has 0 bytes"},
      {"key past the end", with_value(u64(1000) + "abc"), "a metadata key takes 1000 bytes"},
      {"key of 2^64 bytes", with_value(u64(~0ull) + "abc"), "a metadata key takes 184467440737"},
      {"unknown value type", with_value(text("k") + u32(13) + u64(0)), "has the type 13"},
      {"text past the end", with_value(text("k") + u32(8) + u64(99)), "a text of 'k' takes 99"},
      {"list of 2^60 bytes", with_value(value_list("k", 0, kHuge, "")),
       "the length of 'k' is 11529"},
      {"list of 2^61 wide numbers", with_value(value_list("k", 10, kHuge * 2, "")),
       "the length of"},
      {"list of 2^60 texts", with_value(value_list("k", 8, kHuge, "")), "the length of 'k'"},
      {"list whose last text is cut", with_value(value_list("k", 8, 2, text("x") + u64(500))),
       "a text of 'k' takes 500"},
      {"list of lists", with_value(value_list("k", 9, 1, u32(4) + u64(0))), "a list of lists"},
      {"the same key twice", gguf({{value_u32("k", 1), value_u32("k", 1)}, {}}), "has 'k' twice"},
      {"alignment of 0", with_value(value_u32("general.alignment", 0)), "a whole number from 1 to"},
      {"alignment of 48", with_value(value_u32("general.alignment", 48)), "a power of two"},
      {"alignment of 2^31", with_value(value_u32("general.alignment", 1u << 31)), "general.alignm"},
      {"split file", with_value(value_u32("split.count", 3)), "one of 3 parts of a split file"},
  };
}

std::vector<Broken> broken_tensors() {
  constexpr std::uint64_t kWide = std::uint64_t{1} << 40;
  return {
      {"no name", with_tensors({tensor("", {4}, 0, 0)}, 32), "a tensor's name has 0 bytes"},
      {"no dimensions", with_tensors({tensor("x", {}, 0, 0) + u64(0)}, 32), "0 dimensions"},
      {"five dimensions", with_tensors({tensor("x", {1, 1, 1, 1, 1}, 0, 0)}, 32), "5 dimensions"},
      {"dimension of 0", with_tensors({tensor("x", {0}, 0, 0)}, 32), "a dimension of 0"},
      {"dimension of 2^63", with_tensors({tensor("x", {1ull << 63}, 0, 0)}, 32),
       "a dimension of 9"},
      {"overflowing shape", with_tensors({tensor("x", {kWide, kWide, kWide, kWide}, 0, 0)}, 32),
       "impossible shape"},
      {"unknown type", with_tensors({tensor("x", {4}, 99, 0)}, 32), "the unknown type 99"},
      {"removed type", with_tensors({tensor("x", {32}, 4, 0)}, 32), "the unknown type 4"},
      {"half a block", with_tensors({tensor("x", {48}, 2, 0)}, 32), "come in blocks of 32"},
      {"rows of half blocks", with_tensors({tensor("x", {16, 2}, 2, 0)}, 32), "in blocks of 32"},
      {"unaligned offset", with_tensors({tensor("x", {4}, 0, 4)}, 32), "expected a multiple of 32"},
      {"offset of 2^63", with_tensors({tensor("x", {4}, 0, 1ull << 63)}, 32), "past the end"},
      {"data cut off", with_tensors({tensor("x", {16}, 0, 0)}, 60), "it is truncated"},
      {"no data", with_tensors({tensor("x", {16}, 0, 0)}, 0), "it is truncated"},
      {"overlap", with_tensors({tensor("x", {16}, 0, 0), tensor("y", {16}, 0, 32)}, 128),
       "begins at data byte 32, expected 64 (it overlaps another tensor)"},
      {"the same bytes", with_tensors({tensor("x", {8}, 0, 0), tensor("y", {8}, 0, 0)}, 64),
       "it overlaps another tensor"},
      {"gap", with_tensors({tensor("x", {8}, 0, 0), tensor("y", {8}, 0, 64)}, 96),
       "there is a gap"},
      {"gap at the start", with_tensors({tensor("x", {8}, 0, 32)}, 64), "there is a gap"},
      {"the same name", with_tensors({tensor("x", {8}, 0, 0), tensor("x", {8}, 0, 32)}, 64),
       "'x' is there twice"},
      {"bytes behind", with_tensors({tensor("x", {8}, 0, 0)}, 64), "32 bytes follow the last"},
  };
}

TEST(Gguf, BrokenFilesEachEndInOneErrorThatNamesTheFile) {
  std::vector<Broken> table = broken_heads();
  for (Broken& broken : broken_tensors()) table.push_back(std::move(broken));
  for (const Broken& broken : table) {
    SCOPED_TRACE(broken.name);
    const std::string error = error_of([&] { parse(broken.bytes); });
    EXPECT_TRUE(contains(error, broken.message));
    EXPECT_TRUE(contains(error, "some.gguf: "));
    EXPECT_LT(error.size(), 500u);
  }
}

TEST(Gguf, EveryTruncationOfAGoodFileIsRefused) {
  const std::string good = gguf({{value_list("k", 8, 2, text("x") + text("y")), value_u32("n", 1)},
                                 {tensor("x", {8}, 0, 0), tensor("y", {8}, 0, 32)},
                                 64});
  EXPECT_EQ(error_of([&] { parse(good); }), "");
  for (std::size_t n = 0; n < good.size(); ++n) {
    EXPECT_NE(error_of([&] { parse(good.substr(0, n)); }), "") << n;
  }
}

TEST(Gguf, PaddingAfterTheLastTensorMayBeLeftOut) {
  EXPECT_EQ(error_of([] { parse(with_tensors({tensor("x", {3}, 0, 0)}, 12)); }), "");
  EXPECT_EQ(error_of([] { parse(with_tensors({tensor("x", {3}, 0, 0)}, 32)); }), "");
}

// ---- whole files that mean something else
// --------------------------------------------------------

const std::vector<std::string> kLanguageValues = {
    value_text("general.architecture", "qwen2vl"),
    value_u32("qwen2vl.block_count", 1),
    value_u32("qwen2vl.context_length", 64),
    value_u32("qwen2vl.embedding_length", 64),
    value_u32("qwen2vl.feed_forward_length", 64),
    value_u32("qwen2vl.attention.head_count", 2),
    text("qwen2vl.attention.layer_norm_rms_epsilon") + u32(6) + raw(1e-6f),
    text("qwen2vl.rope.freq_base") + u32(6) + raw(1e6f),
    value_list("qwen2vl.rope.dimension_sections", 5, 4, u32(4) + u32(6) + u32(6) + u32(0)),
};
const std::vector<std::string> kVisionValues = {
    value_text("general.architecture", "clip"),
    value_text("clip.vision.projector_type", "qwen2.5vl_merger"),
    value_u32("clip.vision.block_count", 1),
    value_u32("clip.vision.embedding_length", 64),
    value_u32("clip.vision.feed_forward_length", 64),
    value_u32("clip.vision.attention.head_count", 2),
    value_u32("clip.vision.patch_size", 14),
    value_u32("clip.vision.n_wa_pattern", 2),
};

// Replaces the value of the same key, or adds it.
std::vector<std::string> with(std::vector<std::string> values, const std::string& key,
                              const std::string& value) {
  std::erase_if(values, [&](const std::string& old) { return old.starts_with(text(key)); });
  if (!value.empty()) values.push_back(value);
  return values;
}

std::string config_error(const std::vector<std::string>& language,
                         const std::vector<std::string>& vision) {
  const std::string language_bytes = gguf({language, {tensor("token_embd.weight", {8}, 0, 0)}, 32});
  const std::string vision_bytes = gguf({vision, {tensor("mm.2.weight", {8}, 0, 0)}, 32});
  return error_of([&] { config_json_from_gguf(parse(language_bytes), parse(vision_bytes)); });
}

TEST(GgufModel, AnythingButAQwen25VlPairIsRefused) {
  EXPECT_EQ(config_error(kLanguageValues, kVisionValues), "");
  const auto language = [](const std::string& key, const std::string& value) {
    return config_error(with(kLanguageValues, key, value), kVisionValues);
  };
  const auto vision = [](const std::string& key, const std::string& value) {
    return config_error(kLanguageValues, with(kVisionValues, key, value));
  };
  const std::string architecture = "general.architecture";
  const std::string sections = "qwen2vl.rope.dimension_sections";
  const std::string projector = "clip.vision.projector_type";
  const std::string yarn = "qwen2vl.rope.scaling.type";
  EXPECT_TRUE(contains(language(architecture, value_text(architecture, "qwen2")),
                       "unsupported: some.gguf: architecture 'qwen2', expected 'qwen2vl'"));
  EXPECT_TRUE(contains(language(architecture, ""), "lacks 'general.architecture'"));
  EXPECT_TRUE(contains(language(sections, ""), "lacks 'qwen2vl.rope.dimension_sections'"));
  EXPECT_TRUE(contains(language(sections, value_list(sections, 5, 2, u32(1) + u32(2))),
                       "is [1, 2], expected three numbers"));
  EXPECT_TRUE(contains(language(yarn, value_text(yarn, "longrope")), "expected none or yarn"));
  EXPECT_TRUE(contains(language(yarn, value_text(yarn, "yarn")), "rope.scaling.factor"));
  EXPECT_TRUE(contains(language("qwen2vl.block_count", value_u32("qwen2vl.block_count", 0)),
                       "a whole number from 1 to 1024"));
  EXPECT_TRUE(contains(vision(projector, value_text(projector, "qwen2vl_merger")),
                       "projector 'qwen2vl_merger', expected 'qwen2.5vl_merger'"));
  EXPECT_TRUE(contains(vision(projector, ""), "lacks 'clip.projector_type'"));
  EXPECT_TRUE(contains(vision("clip.use_gelu", text("clip.use_gelu") + u32(7) + "\1"), "SiLU"));
  EXPECT_TRUE(contains(vision("clip.vision.n_wa_pattern", ""), "n_wa_pattern"));
}

std::string tensors_error(const std::vector<std::string>& language,
                          const std::vector<std::string>& vision, std::size_t n_data) {
  const std::string language_bytes = gguf({{}, language, language.empty() ? 0 : n_data});
  const std::string vision_bytes = gguf({{}, vision, vision.empty() ? 0 : n_data});
  return error_of([&] { tensors_from_gguf(parse(language_bytes), "l", parse(vision_bytes), "v"); });
}

TEST(GgufModel, TensorsThatDoNotBelongOrFitAreRefused) {
  EXPECT_TRUE(contains(tensors_error({tensor("blk.0.ffn_gate_exps.weight", {8}, 0, 0)}, {}, 32),
                       "belongs to no language model of Qwen2.5-VL"));
  EXPECT_TRUE(contains(tensors_error({tensor("blk.00.ffn_up.weight", {8}, 0, 0)}, {}, 32),
                       "belongs to no language model"));
  EXPECT_TRUE(contains(tensors_error({}, {tensor("v.class_embd", {8}, 0, 0)}, 32),
                       "belongs to no vision tower of Qwen2.5-VL"));
  EXPECT_TRUE(contains(tensors_error({tensor("blk.0.ffn_up.weight", {256}, 10, 0)}, {}, 84),
                       "unsupported: some.gguf: tensor 'blk.0.ffn_up.weight' is stored as Q2_K"));
  const auto piece = [](const std::string& which, std::vector<std::uint64_t> dims,
                        std::uint64_t at) {
    return tensor("v.blk.0.attn_" + which + ".weight", dims, 0, at);
  };
  EXPECT_TRUE(contains(tensors_error({}, {piece("q", {8}, 0), piece("k", {8}, 32)}, 64),
                       "is there in 2 pieces, expected 3"));
  EXPECT_TRUE(contains(
      tensors_error({}, {piece("q", {8}, 0), piece("k", {4, 2}, 32), piece("v", {8}, 64)}, 96),
      "are [8] and [2, 4], which do not go together"));
  EXPECT_TRUE(contains(
      tensors_error(
          {}, {piece("q", {8}, 0), piece("k", {8}, 32), piece("v", {8}, 64), piece("qkv", {8}, 96)},
          128),
      "there whole and in pieces"));
  EXPECT_TRUE(contains(tensors_error({}, {tensor("v.patch_embd.weight", {2, 2, 2, 1}, 0, 0)}, 32),
                       "in 1 pieces, expected 2"));
}

TEST(GgufModel, TokenizersOfOtherFamiliesAndBrokenListsAreRefused) {
  const std::vector<std::string> good = {
      value_text("tokenizer.ggml.model", "gpt2"), value_text("tokenizer.ggml.pre", "qwen2"),
      value_list("tokenizer.ggml.tokens", 8, 2, text("a") + text("b")),
      value_list("tokenizer.ggml.token_type", 5, 2, u32(1) + u32(1)),
      value_list("tokenizer.ggml.merges", 8, 1, text("a b"))};
  const auto error = [&](const std::string& key, const std::string& value) {
    const std::string bytes = gguf({with(good, key, value), {}});
    return error_of([&] { tokenizer_json_from_gguf(parse(bytes).metadata); });
  };
  const std::string kinds = "tokenizer.ggml.token_type", tokens = "tokenizer.ggml.tokens";
  EXPECT_EQ(error("some.other", ""), "");
  EXPECT_TRUE(contains(error("tokenizer.ggml.pre", ""), "tokenizer 'gpt2' split as ''"));
  EXPECT_TRUE(contains(error("tokenizer.ggml.model", value_text("tokenizer.ggml.model", "llama")),
                       "tokenizer 'llama'"));
  EXPECT_TRUE(contains(error(kinds, ""), "lacks 'tokenizer.ggml.token_type'"));
  EXPECT_TRUE(
      contains(error(kinds, value_list(kinds, 5, 1, u32(1))), "2 tokens and 1 token types"));
  EXPECT_TRUE(contains(error(kinds, value_list(kinds, 5, 2, u32(1) + u32(6))), "has the type 6"));
  EXPECT_TRUE(contains(error(tokens, value_list(tokens, 8, 2, text("a") + text("\xff"))),
                       "is not valid UTF-8"));
  EXPECT_TRUE(contains(error("tokenizer.ggml.merges", ""), "lacks 'tokenizer.ggml.merges'"));
  EXPECT_EQ(tokenizer_json_from_gguf(parse(gguf({{}, {}})).metadata), "");
}

}  // namespace
}  // namespace qwenvl

// Where weights come from, whoever wrote the files: canonical names, shapes, float32 rows on
// demand. Before: the model argument.   After: conversion and packing, which read a few rows at a
// time.
//
//   const auto source = open_weight_source("model-Q4_K_M.gguf");
//   const StoredTensor& up = source->tensor("model.layers.0.mlp.up_proj.weight");
//   up.read_rows(0, 64, rows.data());             // [64, up.row_width()]
//   parse_config(source->text_of("config.json"), …);
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "checkpoint/stored_tensor.h"

namespace qwenvl {

class WeightSource {
 public:
  using Tensors = std::map<std::string, std::unique_ptr<const StoredTensor>>;

  virtual ~WeightSource() = default;

  // The folder, or the language file of a GGUF pair.
  virtual const std::filesystem::path& path() const = 0;
  // Under the names Checkpoint uses (canonical_tensor_name), each exactly once.
  virtual const Tensors& tensors() const = 0;
  // config.json, preprocessor_config.json, tokenizer.json …; "" when there is none. What a folder
  // holds comes as it is (a quantization_config included, which rows no longer need); what a GGUF
  // file says in its metadata comes as the text the published folder would hold.
  virtual std::string text_of(const std::string& file_name) const = 0;

  // Takes what a tensor was read from out of this process's memory where that is possible; it is
  // read again when it is used.
  virtual void release_pages(const std::string& /*name*/) const noexcept {}

  bool has(const std::string& name) const { return tensors().contains(name); }
  // Throws bad_file when there is no such tensor.
  const StoredTensor& tensor(const std::string& name) const;
  // Rows [first, first + n) of a matrix, or row 0 of a vector. Nothing is expanded as a whole.
  void read_rows(const std::string& name, std::int64_t first, std::int64_t n, float* out) const;
};

// Whether a path is a GGUF model: a .gguf file, or a folder with one and no safetensors.
bool is_gguf_model(const std::filesystem::path& path);

// Opens
//   a Hugging Face folder of safetensors: plain (f32, bf16, f16), AWQ, GPTQ, bitsandbytes;
//   a .gguf file of the language model, or a folder with one and no safetensors.
// A GGUF model consists of two files: `projector` names the vision one, else the only *mmproj*.gguf
// beside it is taken. Throws bad_request, bad_file, unsupported.
std::unique_ptr<WeightSource> open_weight_source(const std::filesystem::path& path,
                                                 const std::filesystem::path& projector = {});

}  // namespace qwenvl

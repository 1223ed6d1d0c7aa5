// Reads the JSON files of a tokenizer as a stream.
// Before: bytes of a checkpoint folder, which may hold anything.   After: tokenizer_file.cpp.
#pragma once

#include <string>
#include <string_view>

#include "text/tokenizer/tokenizer_tables.h"

namespace qwenvl {

enum class TableLayout {
  none,            // an ordinary small document
  tokenizer_json,  // {"model": {"vocab": {…}, "merges": […]}, …}
  vocab_json,      // the document is the vocabulary
};

// Puts the vocabulary and the merges into the source and returns the rest of the document as JSON,
// with true in their place. Throws bad_file: damaged, too deep, too large, or of the wrong types.
std::string read_tables(std::string_view json, TokenizerSource& source, TableLayout layout);

}  // namespace qwenvl

// Cuts text into the pieces inside which byte pairs may merge.
// Before: unicode.cpp brought the text into NFC.   After: tokenizer.cpp merges each piece.
// Mirrors the Split pre-tokenizer of tokenizer.json, whose regular expression is kPieceRegex.
#pragma once

#include <cstddef>
#include <string_view>

namespace qwenvl {

// What next_piece() implements by hand; a tokenizer.json must hold exactly this.
inline constexpr std::string_view kPieceRegex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// End of the piece that starts at `begin` < text.size(). `text` is valid UTF-8.
std::size_t next_piece(std::string_view text, std::size_t begin);

}  // namespace qwenvl

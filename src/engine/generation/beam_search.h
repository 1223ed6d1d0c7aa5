// Beam search with the reference's semantics.
#pragma once

#include <memory>

#include "engine/generation/decoding.h"

namespace qwenvl {

std::unique_ptr<Decoding> make_beam_search(Sequence prompt, const DecodingOptions& options);

}  // namespace qwenvl
